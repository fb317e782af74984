/* media/limits.h: every bound of this module, with its reason. */
#ifndef MEDIA_LIMITS_H
#define MEDIA_LIMITS_H

enum {
    /* A picture before it is resized. Telephones make up to 50 megapixels in one shot (the 108 and 200
       they advertise are combined); at 3 bytes a pixel this is 192 MiB, and a turned or interlaced one
       needs it twice. */
    SOURCE_PIXELS_MAX = 64 * 1024 * 1024,
    /* The models' processor refuses more. */
    RATIO_MAX = 200,
    UNIT = 32, /* pixels of a token's side: patches of 16, two by two */

    /* A file that is held in memory whole: an uncompressed TIFF of the largest picture. */
    INPUT_MAX_BYTES = 256 * 1024 * 1024,
    EXIF_MAX_BYTES =
        64 * 1024,        /* a JPEG marker cannot be longer; the orientation stands in front */
    JPEG_SCANS_MAX = 100, /* a progressive JPEG has some 10; a bomb thousands */
    LIBRARY_ALLOC_MAX = 512 * 1024 * 1024, /* one allocation inside libtiff, one chunk of a PNG */

    IMAGE_MIN_PIXELS = 64 * 1024, /* of the published processor files */
    IMAGE_MAX_PIXELS = 16 * 1024 * 1024,
    VIDEO_MIN_PIXELS = 4 * 1024,
    VIDEO_MAX_PIXELS = 24 * 1024 * 1024,
    VIDEO_FRAMES_MIN = 4,
    VIDEO_FRAMES_MAX = 768,
    FRAMES_MAX = 4096, /* that can be asked for: their numbers travel on a command line */
    FOLDER_FRAMES_MAX = 1 << 20,
    /* What a caller may ask for at most: no model has seen more, and the result must fit memory. */
    PIXELS_MAX = 1 << 29,

    IMAGE_TIMEOUT_MS = 60000,
    VIDEO_TIMEOUT_MS = 600000,
    FFMPEG_ERRORS_KEPT = 4096,
    CONFIG_MAX_BYTES = 1024 * 1024,
};

/* Address space of the process that decodes: the largest interlaced PNG with transparency needs four
 * bytes a pixel twice, a progressive JPEG nine. */
#define MEMORY_BYTES ((size_t)1536 * 1024 * 1024)

#endif
