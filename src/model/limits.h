/* model/limits.h: how large the parts of a model file may be. Real files stay far below; the bounds
 * keep a hostile one from costing more memory or time than a real one. */
#ifndef MODEL_LIMITS_H
#define MODEL_LIMITS_H

enum {
    FILE_META_MAX = 65536,    /* key/value pairs; real files have about 50                        */
    FILE_TENSORS_MAX = 65536, /* the largest models have some thousand                            */
    FILE_PARTS_MAX = 1024,    /* files of one model                                               */
    FILE_KEY_MAX = 65536,     /* bytes of a metadata key                                          */
    FILE_NAME_MAX = 255,      /* bytes of a tensor's name; GGUF tools stop at 63, HF names at ~90 */
    FILE_STRING_MAX = 16 << 20, /* bytes of a string value; chat templates are some 10 KB */
    FILE_STRINGS_MAX = 4 << 20, /* strings in all arrays of a file; vocabulary + merges = 0.5 M */
    FILE_ALIGNMENT_MAX = 65536, /* bytes; everybody uses 32 */
    ST_HEADER_MAX = 100000000,  /* bytes of a safetensors header, the format's own bound  */
    ST_RANK_MAX = 8, /* dimensions of a safetensors tensor; vision kernels have 5        */
    CONFIG_FILE_MAX = 64 << 20, /* bytes of config.json and its like; indices reach some MB */
    CONFIG_DEPTH_MAX = 32, /* nesting of config.json; real ones have 3                         */
};

#endif
