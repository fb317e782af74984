/* hub/limits.h: how much a catalogue, a manifest or a server may ask of us. Real ones stay far
 * below; the bounds keep hostile ones from costing more. */
#ifndef HUB_LIMITS_H
#define HUB_LIMITS_H

enum {
    HUB_JSON_MAX = 4 << 20, /* bytes of a catalogue, manifest or state file; ours has 14 KB       */
    HUB_MODELS_MAX = 1000,  /* models of a catalogue                                              */
    HUB_BUILDS_MAX = 64,    /* builds of a model                                                  */
    HUB_FILES_MAX = 1024,   /* files of a build; as many as a split GGUF may have parts           */
    HUB_NAME_MAX = 80,      /* bytes of a model's name; it becomes a folder's name                */
    HUB_PATH_MAX = 200,     /* bytes of a file's path inside a model                              */
    HUB_DEPTH_MAX = 4,      /* folders of such a path                                             */
    HUB_TEXT_MAX = 256,     /* bytes of a title, a licence, a description                         */
    HUB_URL_MAX = 8192,     /* bytes of a URL; signed ones have about 1500                        */
    HUB_TOKEN_MAX = 512,    /* bytes of an access token; real ones have about 40                  */
    HUB_REDIRECTS_MAX = 5,  /* in a row                                                           */
    HUB_ATTEMPTS_MAX = 6,   /* in a row without a new byte                                        */
    HUB_PAUSE_MAX_S = 300,  /* longest pause a server may ask for (Retry-After)                   */
    HUB_SYNC_BYTES =
        64 << 20, /* what a power failure may cost of a download                        */
};

/* No file of a model is larger: 16 TiB, a hundred times the largest published model. It keeps every
 * sum of sizes inside 64 bits. */
#define HUB_FILE_BYTES_MAX ((uint64_t)1 << 44)

#endif
