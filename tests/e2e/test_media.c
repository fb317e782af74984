/* Images and videos (src/media), against the models' own processors.
 *
 * The pictures of tests/data/media were made by Pillow and ffmpeg; tests/golden/media has what the
 * processors of transformers make of them, their sizes for some hundred shapes, and which frames of a
 * video they choose (tools/reference/media.py). Then what is no picture, is cut off, or lies about its
 * size; a worker that lies; and videos, from folders and through ffmpeg. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "kontor/media.h"
#include "media/media_priv.h"

static struct kt_media_options options(void)
{
    return (struct kt_media_options){ .worker_path = getenv("KONTOR_BIN"),
                                      .image_min_pixels = 1024,
                                      .image_max_pixels = 4096 };
}

static char *source_path(const char *folder, const char *name)
{
    char *dir = path_join(getenv("KONTOR_SOURCE"), folder), *path = path_join(dir, name);
    free(dir);
    return path;
}

static struct buf source_file(const char *folder, const char *name)
{
    struct buf b = { 0 };
    struct kt_error err;
    char *path = source_path(folder, name);
    if (file_read(&b, path, SIZE_MAX / 2, &err))
        fail_msg("%s", err.text);
    free(path);
    return b;
}

static uint32_t fnv32(const void *data, size_t n)
{
    uint32_t h = 0x811C9DC5;
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x01000193;
    return h;
}

static unsigned worst_of(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = MAX(worst, (unsigned)abs(a[i] - b[i]));
    return worst;
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* Tolerances: 1 level where a decoder's version may round otherwise; 4 for the turned JPEGs, which are
 * compared with the picture before it was compressed. */
static const struct {
    const char *file, *golden;
    unsigned tolerance;
} PICTURES[] = {
    { "exif1.jpg", "blocks", 4 },
    { "exif2.jpg", "blocks", 4 },
    { "exif3.jpg", "blocks", 4 },
    { "exif4.jpg", "blocks", 4 },
    { "exif5.jpg", "blocks", 4 },
    { "exif6.jpg", "blocks", 4 },
    { "exif7.jpg", "blocks", 4 },
    { "exif8.jpg", "blocks", 4 },
    { "exif3.png", "blocks", 0 },
    { "exif6.png", "blocks", 0 },
    { "exif8.webp", "blocks", 0 },
    { "orient5.tif", "blocks", 0 },
    { "orient7.tif", "blocks", 0 },
    { "colour.jpg", "jpeg_colour", 1 },
    { "progressive.jpg", "jpeg_colour", 1 },
    { "grey.jpg", "jpeg_grey", 1 },
    { "cmyk.jpg", "jpeg_cmyk", 1 },
    { "colour.png", "photo", 0 },
    { "palette.png", "few", 0 },
    { "bits.png", "bits", 0 },
    { "alpha.png", "alpha", 1 },
    { "grey_alpha.png", "grey_alpha", 1 },
    { "palette_alpha.png", "few_clear", 0 },
    { "colour16.png", "photo", 0 },
    { "grey16.png", "grey", 0 },
    { "ffmpeg16.png", "ffmpeg16", 0 },
    { "lossy.webp", "webp_lossy", 1 },
    { "lossless.webp", "photo", 0 },
    { "alpha.webp", "alpha", 1 },
    { "animated.webp", "photo", 0 },
    { "lzw.tif", "photo", 0 },
    { "deflate.tif", "photo", 0 },
    { "packbits.tif", "photo", 0 },
    { "cmyk.tif", "tiff_cmyk", 1 },
    { "alpha.tif", "alpha", 1 },
    { "fax.tif", "bits", 0 },
    { "grey16.tif", "grey", 1 },
    { "pages.tif", "photo", 0 },
    { "colour.gif", "few", 0 },
    { "interlaced.gif", "few", 0 },
    { "animated.gif", "few", 0 },
    { "clear.gif", "few_clear", 0 },
};

static void compare(const char *file, const uint8_t *rgb, const char *golden, unsigned tolerance)
{
    char name[64];
    snprintf(name, sizeof(name), "%s.rgb", golden);
    struct buf want = source_file("tests/golden/media", name);
    assert_int_equal(want.len, 64 * 32 * 3);
    unsigned worst = worst_of(rgb, (uint8_t *)want.ptr, want.len);
    if (worst > tolerance)
        fail_msg("%s: %u levels from the reference, allowed %u", file, worst, tolerance);
    buf_deinit(&want);
}

/* All of them decoded here; a process for each takes its time. */
static void pictures_are_the_processors(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(PICTURES); i++) {
        struct buf file = source_file("tests/data/media", PICTURES[i].file);
        struct picture p;
        struct refusal why;
        uint32_t height, width;
        if (!picture_decode(&p, buf_span(&file), SOURCE_PIXELS_MAX, &why))
            fail_msg("%s: refused with %d", PICTURES[i].file, (int)why.reason);
        if (!size_for(&height, &width, p.height, p.width, 0, 1024, 4096) || p.width != 72 ||
            p.height != 40 || height != 32 || width != 64)
            fail_msg("%s: %u x %u", PICTURES[i].file, p.width, p.height);
        assert_true(picture_resize(&p, height, width, &why));
        compare(PICTURES[i].file, p.rgb, PICTURES[i].golden, PICTURES[i].tolerance);
        picture_deinit(&p);
        buf_deinit(&file);
    }
}

/* One of each format through the locked-in process: what its library needs is let through. */
static void pictures_through_the_sandbox(void **state)
{
    (void)state;
    static const size_t WHICH[] = { 5, 14, 16, 23, 26, 29, 31, 35, 39 };
    struct kt_media_options o = options();
    for (size_t i = 0; i < ARRAY_LEN(WHICH); i++) {
        const char *file = PICTURES[WHICH[i]].file;
        char *path = source_path("tests/data/media", file);
        struct kt_media *m;
        struct kt_media_info info;
        struct kt_error err;
        if (kt_media_open_image(&m, path, &o, &err))
            fail_msg("%s", err.text);
        kt_media_info(m, &info);
        if (info.source_width != 72 || info.source_height != 40 || info.input.width != 64 ||
            info.input.height != 32 || info.input.n_frames != 1 || info.n_tokens != 2 ||
            info.kind != KT_MEDIA_IMAGE || info.seconds)
            fail_msg("%s: %u x %u became %u x %u", file, info.source_width, info.source_height,
                     info.input.width, info.input.height);
        compare(file, info.input.rgb, PICTURES[WHICH[i]].golden, PICTURES[WHICH[i]].tolerance);
        kt_media_close(m);
        free(path);
    }
}

/* The same from memory, and with the sizes of a model's folder. */
static void bytes_and_a_models_sizes(void **state)
{
    (void)state;
    struct buf file = source_file("tests/data/media", "colour.png");
    struct kt_media_options o = { .worker_path = getenv("KONTOR_BIN") };
    char dir[] = "/tmp/kontor-media-XXXXXX";
    assert_non_null(mkdtemp(dir));
    o.model_path = dir;
    static const struct {
        const char *file, *text;
        uint32_t height, width;
    } CASES[] = {
        { NULL, NULL, 192, 352 },
        { "preprocessor_config.json", "{\"size\":{\"shortest_edge\":1024,\"longest_edge\":4096}}",
          32, 64 },
        { "preprocessor_config.json",
          "{\"min_pixels\":16384,\"max_pixels\":32768,\"patch_size\":16}", 96, 192 },
        { "processor_config.json",
          "{\"image_processor\":{\"size\":{\"shortest_edge\":1024,\"longest_edge\":4096}}}", 32,
          64 },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_error err;
        char *path = CASES[i].file ? path_join(dir, CASES[i].file) : NULL;
        if (path && file_replace(path, CASES[i].text, strlen(CASES[i].text), 0600, &err))
            fail_msg("%s", err.text);
        struct kt_media *m;
        struct kt_media_info info;
        if (kt_media_open_image_bytes(&m, file.ptr, file.len, "a picture", &o, &err))
            fail_msg("%s", err.text);
        kt_media_info(m, &info);
        if (info.input.height != CASES[i].height || info.input.width != CASES[i].width)
            fail_msg("case %zu: %u x %u", i, info.input.height, info.input.width);
        kt_media_close(m);
        if (path)
            unlink(path);
        free(path);
    }
    rmdir(dir);
    buf_deinit(&file);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void sizes_are_the_processors(void **state)
{
    (void)state;
    struct buf text = source_file("tests/golden/media", "sizes.txt");
    size_t n_lines = 0;
    for (char *save, *line = strtok_r(text.ptr, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n_lines++) {
        unsigned n, h, w, want_h, want_w;
        unsigned long long lo, hi;
        uint32_t got_h = 0, got_w = 0;
        assert_int_equal(
            sscanf(line, "%u %u %u %llu %llu %u %u", &n, &h, &w, &lo, &hi, &want_h, &want_w), 7);
        bool ok = size_for(&got_h, &got_w, h, w, n, lo, hi);
        if (ok != (want_h > 0) || (ok && (got_h != want_h || got_w != want_w)))
            fail_msg("%s: found %u x %u", line, got_h, got_w);
        if (ok && (uint64_t)got_h * got_w > size_most_pixels(hi, n))
            fail_msg("%s: more than the bound %llu", line,
                     (unsigned long long)size_most_pixels(hi, n));
    }
    assert_true(n_lines > 300);
    buf_deinit(&text);
}

/* pattern() of tools/reference/media.py */
static void pattern(struct picture *p, uint32_t h, uint32_t w)
{
    struct refusal why;
    *p = (struct picture){ .orientation = 1, .max_pixels = 1 << 24 };
    assert_true(picture_begin(p, w, h, &why));
    for (uint32_t y = 0, i = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++)
            for (uint32_t c = 0; c < 3; c++, i++) {
                uint32_t k =
                    ((y / 5) * 0x9E3779B1u ^ (x / 7) * 0x85EBCA77u ^ c * 0xC2B2AE3Du) * 0x27D4EB2Fu;
                p->rgb[i] = (uint8_t)((k >> 15) ^ ((uint32_t)((x * y) % 3 == 0) * 0x40));
            }
}

/* Equal, not close: the sums are whole numbers. */
static void resizing_is_the_processors(void **state)
{
    (void)state;
    struct buf text = source_file("tests/golden/media", "resize.txt");
    size_t n_lines = 0;
    for (char *save, *line = strtok_r(text.ptr, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n_lines++) {
        unsigned h, w, to_h, to_w, hash;
        assert_int_equal(sscanf(line, "%u %u %u %u %x", &h, &w, &to_h, &to_w, &hash), 5);
        struct picture p;
        struct refusal why;
        pattern(&p, h, w);
        assert_true(picture_resize(&p, to_h, to_w, &why));
        uint32_t found = fnv32(p.rgb, (size_t)to_h * to_w * 3);
        if (found != hash)
            fail_msg("%s: found %08x", line, found);
        picture_deinit(&p);
    }
    assert_true(n_lines >= 10);
    buf_deinit(&text);
}

static void frames_are_the_processors(void **state)
{
    (void)state;
    struct buf text = source_file("tests/golden/media", "frames.txt");
    size_t n_lines = 0;
    for (char *save, *line = strtok_r(text.ptr, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save), n_lines++) {
        unsigned total, want_n, hash_idx, hash_seconds;
        double fps;
        assert_int_equal(
            sscanf(line, "%u %lf %u %x %x", &total, &fps, &want_n, &hash_idx, &hash_seconds), 5);
        uint32_t n = frames_wanted(total, fps, 2, VIDEO_FRAMES_MIN, VIDEO_FRAMES_MAX);
        if (n != want_n)
            fail_msg("%s: found %u frames", line, n);
        uint64_t idx[VIDEO_FRAMES_MAX];
        double seconds[VIDEO_FRAMES_MAX / 2 + 1];
        frames_choose(idx, n, total);
        frames_seconds(seconds, idx, n, fps);
        struct buf a = { 0 }, b = { 0 };
        for (uint32_t i = 0; i < n; i++)
            buf_printf(&a, i ? ",%llu" : "%llu", (unsigned long long)idx[i]);
        for (uint32_t i = 0; i < (n + 1) / 2; i++)
            buf_printf(&b, i ? ",%.1f" : "%.1f", seconds[i]);
        if (fnv32(a.ptr, a.len) != hash_idx || fnv32(b.ptr, b.len) != hash_seconds)
            fail_msg("%s: found %.200s at %.200s", line, a.ptr, b.ptr);
        buf_deinit(&a);
        buf_deinit(&b);
    }
    assert_true(n_lines > 70);
    buf_deinit(&text);
}

/* ---- what is not taken ----------------------------------------------------------------------- */

static void expect_refused(const void *bytes, size_t n, const char *what, enum kt_status want,
                           const char *part)
{
    struct kt_media_options o = options();
    struct kt_media *m;
    struct kt_error err = { 0 };
    enum kt_status st = kt_media_open_image_bytes(&m, bytes, n, what, &o, &err);
    if (st != want || m || !strstr(err.text, part) || strncmp(err.text, what, strlen(what)) != 0)
        fail_msg("%s: expected %s with \"%s\", found %s: %s", what, kt_status_name(want), part,
                 kt_status_name(st), st ? err.text : "");
}

static void what_is_no_picture(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct span bytes;
        const char *part;
    } CASES[] = {
        { "text", SPAN("Sehr geehrte Damen und Herren"), "no picture that is read" },
        { "pdf", SPAN("%PDF-1.7 x"), "pdftoppm" },
        { "heic",
          SPAN("\0\0\0\x18"
               "ftypheic\0\0\0\0mif1"),
          "save it as JPEG" },
        { "avif",
          SPAN("\0\0\0\x18"
               "ftypavif\0\0\0\0mif1"),
          "save it as JPEG" },
        { "mp4",
          SPAN("\0\0\0\x18"
               "ftypisom\0\0\0\0isom"),
          "--video" },
        { "bmp", SPAN("BM1234567890"), "PNG" },
        { "svg", SPAN("<?xml version='1.0'?>\n<svg/>"), "PNG" },
        { "avi", SPAN("RIFF1234AVI LIST"), "--video" },
        { "nothing", SPAN(""), "empty" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        expect_refused(CASES[i].bytes.ptr, CASES[i].bytes.len, CASES[i].what, KT_E_UNSUPPORTED,
                       CASES[i].part);
    struct buf b = source_file("tests/data/media", "float.tif");
    expect_refused(b.ptr, b.len, "float.tif", KT_E_UNSUPPORTED, "8 bits a channel");
    buf_deinit(&b);
}

/* Cut anywhere: an answer, and never a part of a picture as if it were the whole. */
static void what_is_cut_off(void **state)
{
    (void)state;
    static const char *const FILES[] = { "colour.jpg",    "progressive.jpg", "colour.png",
                                         "lossless.webp", "lossy.webp",      "lzw.tif",
                                         "colour.gif" };
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct buf b = source_file("tests/data/media", FILES[i]);
        for (size_t n = b.len - 40; n > 8; n = n * 2 / 3) {
            struct picture p;
            struct refusal why;
            if (picture_decode(&p, (struct span){ b.ptr, n }, 1 << 20, &why))
                fail_msg("%s: %zu of %zu bytes are taken for a picture", FILES[i], n, b.len);
            assert_true(why.reason == REASON_CUT_OFF || why.reason == REASON_DAMAGED);
            picture_deinit(&p);
        }
        expect_refused(b.ptr, b.len / 2, FILES[i], KT_E_FORMAT, "get");
        buf_deinit(&b);
    }
}

/* PPM and PGM, 8 and 16 bits, comments in the header; and what is none. */
static void ppm_and_pgm(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct span file;
        enum reason reason;
        uint8_t rgb[6];
    } CASES[] = {
        { "colour", SPAN("P6\n2 1\n255\n\1\2\3\4\5\6"), REASON_NONE, { 1, 2, 3, 4, 5, 6 } },
        { "comments",
          SPAN("P6 # made by\n# nobody\n2\t1 255 \1\2\3\4\5\6more"),
          REASON_NONE,
          { 1, 2, 3, 4, 5, 6 } },
        { "white space is a pixel",
          SPAN("P5 2 1 255\n\n "),
          REASON_NONE,
          { 10, 10, 10, 32, 32, 32 } },
        { "scaled", SPAN("P5\n2 1\n15\n\17\7"), REASON_NONE, { 255, 255, 255, 119, 119, 119 } },
        { "beyond its most", SPAN("P5\n2 1\n15\n\377\0"), REASON_NONE, { 255, 255, 255, 0, 0, 0 } },
        { "16 bits",
          SPAN("P5\n2 1\n65535\n\200\0\377\377"),
          REASON_NONE,
          { 128, 128, 128, 255, 255, 255 } },
        { "cut off", SPAN("P6\n2 1\n255\n\1\2\3\4\5"), REASON_CUT_OFF, { 0 } },
        { "cut off at 16 bits", SPAN("P5\n2 1\n65535\n\1\2\3"), REASON_CUT_OFF, { 0 } },
        { "no most", SPAN("P6\n2 1\n"), REASON_DAMAGED, { 0 } },
        { "a most of nothing", SPAN("P6\n2 1\n0\n\1\2\3\4\5\6"), REASON_DAMAGED, { 0 } },
        { "minus", SPAN("P6\n-2 1\n255\n\1\2\3"), REASON_DAMAGED, { 0 } },
        { "nothing", SPAN("P6\n0 1\n255\n\1\2\3"), REASON_EMPTY, { 0 } },
        { "large", SPAN("P6\n99999999 99999999\n255\n\1"), REASON_TOO_MANY_PIXELS, { 0 } },
        { "long number", SPAN("P6\n4294967298 1\n255\n\1\2\3\4\5\6"), REASON_DAMAGED, { 0 } },
        { "bits", SPAN("P4\n8 1\n\377"), REASON_NOT_A_PICTURE, { 0 } },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct picture p;
        struct refusal why;
        bool ok = picture_decode(&p, CASES[i].file, 1 << 20, &why);
        if (why.reason != CASES[i].reason || ok != (CASES[i].reason == REASON_NONE))
            fail_msg("%s: reason %d", CASES[i].what, (int)why.reason);
        if (ok && (p.width != 2 || p.height != 1 || memcmp(p.rgb, CASES[i].rgb, 6) != 0))
            fail_msg("%s: %d %d %d %d %d %d", CASES[i].what, p.rgb[0], p.rgb[1], p.rgb[2], p.rgb[3],
                     p.rgb[4], p.rgb[5]);
        picture_deinit(&p);
    }
}

static uint32_t crc32_of(const uint8_t *p, size_t n)
{
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xEDB88320u : 0);
    }
    return ~c;
}

/* Big-endian. */
static void put32(char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (char)(v >> (24 - 8 * i));
}

/* Sizes that the header claims; nothing of the kind is behind it, and nobody looks. */
static void what_is_too_large(void **state)
{
    (void)state;
    struct buf png = source_file("tests/data/media", "colour.png");
    static const struct {
        uint32_t width, height;
        const char *part;
    } CASES[] = { { 10000, 10000, "make it smaller" },
                  { 50000, 1, "200 times" },
                  { 1, 50000, "200 times" },
                  { 0x7FFFFFFF, 0x7FFFFFFF, "make it smaller" },
                  { 8193, 8192, "make it smaller" } };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        put32(png.ptr + 16, CASES[i].width);
        put32(png.ptr + 20, CASES[i].height);
        put32(png.ptr + 29, crc32_of((uint8_t *)png.ptr + 12, 17));
        expect_refused(png.ptr, png.len, "bomb.png", KT_E_LIMIT, CASES[i].part);
    }
    buf_deinit(&png);
    struct buf gif = source_file("tests/data/media", "colour.gif");
    memcpy(gif.ptr + 6, "\xFF\xFF\xFF\xFF", 4);
    expect_refused(gif.ptr, gif.len, "bomb.gif", KT_E_LIMIT, "65535 x 65535");
    buf_deinit(&gif);
    struct buf jpeg = source_file("tests/data/media", "colour.jpg");
    size_t sof = span_find(buf_span(&jpeg), SPAN("\xFF\xC0\x00\x11\x08"), 0);
    assert_true(sof != SIZE_MAX);
    memcpy(jpeg.ptr + sof + 5, "\xFF\x00\xFF\x00", 4);
    expect_refused(jpeg.ptr, jpeg.len, "bomb.jpg", KT_E_LIMIT, "65280 x 65280");
    buf_deinit(&jpeg);
}

static void options_are_checked(void **state)
{
    (void)state;
    const struct kt_media_options bad[] = {
        { .image_min_pixels = 5000, .image_max_pixels = 4096 },
        { .max_source_pixels = (uint64_t)1 << 40 },
        { .frames_max = 100000 },
        { .fps = -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct kt_media *m;
        struct kt_error err;
        assert_int_equal(kt_media_open_image_bytes(&m, "x", 1, "x", &bad[i], &err), KT_E_USAGE);
    }
    struct kt_media *m;
    struct kt_error err;
    assert_int_equal(kt_media_open_image(&m, "/nonexistent.png", NULL, &err), KT_E_NOTFOUND);
    assert_int_equal(kt_media_open_image(&m, "/tmp", NULL, &err), KT_E_UNSUPPORTED);
    kt_media_close(NULL);
}

/* A program that is not ours in the worker's place, and messages no worker of ours writes. */
static void a_worker_that_lies(void **state)
{
    (void)state;
    struct kt_media_options o = options();
    o.worker_path = "/bin/true";
    struct kt_media *m;
    struct kt_error err;
    assert_int_equal(kt_media_open_image_bytes(&m, "GIF89a", 6, "x.gif", &o, &err), KT_E_FORMAT);
    uint8_t message[WIRE_HEAD_BYTES + 32 * 32 * 3 + WIRE_TAIL_BYTES] = { 0 };
    struct span in = { (char *)message, sizeof(message) };
    struct frames f = { 1, 32, 32, 5, 7, NULL }, got;
    struct refusal why;
    media_wire_frames_head(message, &f);
    memcpy(message + sizeof(message) - WIRE_TAIL_BYTES, media_wire_tail, WIRE_TAIL_BYTES);
    assert_true(media_wire_get_frames(in, &got, &why));
    assert_int_equal(got.width, 32);
    static const uint32_t LIES[][5] = { { 2, 32, 32, 5, 7 },
                                        { 0, 32, 32, 5, 7 },
                                        { 1, 16, 64, 5, 7 },
                                        { 1, 32, 64, 5, 7 },
                                        { 1, 32, 32, 0, 7 },
                                        { 0x55555556, 32, 32, 5, 7 },
                                        { 1, 1u << 31, 1u << 31, 5, 7 } };
    for (size_t i = 0; i < ARRAY_LEN(LIES); i++) {
        f = (struct frames){ LIES[i][0], LIES[i][1], LIES[i][2], LIES[i][3], LIES[i][4], NULL };
        media_wire_frames_head(message, &f);
        if (media_wire_get_frames(in, &got, &why))
            fail_msg("lie %zu is believed", i);
    }
    struct buf b = { 0 };
    assert_true(media_wire_put_refusal(&b, &(struct refusal){ REASON_COUNT, 0, 0 }));
    assert_false(media_wire_get_frames(buf_span(&b), &got, &why));
    buf_deinit(&b);
}

/* ---- videos ---------------------------------------------------------------------------------- */

static void write_frame(const char *dir, const char *name, const char *from)
{
    struct kt_error err;
    struct buf b = source_file("tests/data/media", from);
    char *path = path_join(dir, name);
    if (file_replace(path, b.ptr, b.len, 0600, &err))
        fail_msg("%s", err.text);
    free(path);
    buf_deinit(&b);
}

static void remove_all(const char *dir)
{
    char command[200];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void folder_of_frames(void **state)
{
    (void)state;
    char dir[] = "/tmp/kontor-frames-XXXXXX";
    assert_non_null(mkdtemp(dir));
    /* By name as people count: 1, 2, 10. */
    write_frame(dir, "f10.png", "palette.png");
    write_frame(dir, "f2.png", "alpha.png");
    write_frame(dir, "f1.png", "colour.png");
    struct kt_media_options o = options();
    o.all_frames = true;
    o.video_min_pixels = 4 * 1024;
    o.video_max_pixels = 4 * 4096;
    struct kt_media *m;
    struct kt_media_info info;
    struct kt_error err;
    char *fps = path_join(dir, "fps");
    if (file_replace(fps, "2\n", 2, 0600, &err) || kt_media_open_video(&m, dir, &o, &err))
        fail_msg("%s", err.text);
    kt_media_info(m, &info);
    assert_int_equal(info.kind, KT_MEDIA_VIDEO);
    assert_int_equal(info.input.n_frames, 4); /* the third is its own second */
    assert_int_equal(info.input.height, 32);
    assert_int_equal(info.input.width, 64);
    assert_int_equal(info.n_tokens, 4);
    assert_true(info.seconds[0] == 0.25 && info.seconds[1] == 1.0);
    static const char *const ORDER[] = { "photo.rgb", "alpha.rgb", "few.rgb", "few.rgb" };
    for (size_t i = 0; i < 4; i++) {
        struct buf want = source_file("tests/golden/media", ORDER[i]);
        if (worst_of(info.input.rgb + i * want.len, (uint8_t *)want.ptr, want.len) > 1)
            fail_msg("frame %zu is not %s", i, ORDER[i]);
        buf_deinit(&want);
    }
    kt_media_close(m);
    o.source_fps =
        4; /* the option goes before the file; 3 frames of it: at least 4 are wanted, 3 are there */
    o.all_frames = false;
    if (kt_media_open_video(&m, dir, &o, &err))
        fail_msg("%s", err.text);
    kt_media_info(m, &info);
    assert_true(info.input.n_frames == 4 && info.seconds[1] == 0.5);
    kt_media_close(m);

    write_frame(dir, "f11.png", "exif6.jpg");
    if (kt_media_open_video(&m, dir, &o,
                            &err)) /* stored on its side, upright it is as the others */
        fail_msg("%s", err.text);
    kt_media_close(m);
    write_frame(dir, "f12.txt", "clip.mp4");
    assert_int_equal(kt_media_open_video(&m, dir, &o, &err), KT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "f12.txt"));
    assert_int_equal(file_replace(fps, "x", 1, 0600, &err), KT_OK);
    assert_int_equal(kt_media_open_video(&m, dir, &o, &err), KT_E_FORMAT);
    free(fps);
    remove_all(dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    write_frame(dir, "a.png", "colour.png");
    assert_int_equal(kt_media_open_video(&m, dir, &o, &err), KT_E_FORMAT);
    assert_non_null(strstr(err.text, "at least 2"));
    remove_all(dir);
}

/* Every frame of a clip as ffmpeg gives them without our walls: [n, 40, 72, 3]. */
static struct buf all_frames(const char *path)
{
    char command[600];
    snprintf(command, sizeof(command),
             "ffmpeg -v error -i %s -f rawvideo -pix_fmt rgb24 -vsync passthrough -", path);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    struct buf b = { 0 };
    char piece[65536];
    for (size_t n; (n = fread(piece, 1, sizeof(piece), in)) > 0;)
        buf_append(&b, piece, n);
    if (pclose(in) != 0 || b.len == 0)
        fail_msg("ffmpeg is needed for this test (tools/packages.txt): %s", command);
    return b;
}

static void check_clip(const char *name, size_t total, double fps, uint32_t n)
{
    char *path = source_path("tests/data/media", name);
    struct buf frames = all_frames(path);
    size_t n_bytes = 40 * 72 * 3;
    assert_int_equal(frames.len, total * n_bytes);
    struct kt_media_options o = { .worker_path = getenv("KONTOR_BIN") };
    struct kt_media *m;
    struct kt_media_info info;
    struct kt_error err;
    if (kt_media_open_video(&m, path, &o, &err))
        fail_msg("%s", err.text);
    kt_media_info(m, &info);
    assert_int_equal(info.input.n_frames, n + n % 2);
    assert_true(info.source_height == 40 && info.source_width == 72);
    assert_true(info.input.height == 32 && info.input.width == 64);
    uint64_t idx[16];
    double seconds[8];
    frames_choose(idx, n, total);
    frames_seconds(seconds, idx, n, fps);
    for (uint32_t i = 0; i < info.input.n_frames; i++) {
        struct picture p = { .orientation = 1, .max_pixels = 1 << 20 };
        struct refusal why;
        assert_true(picture_begin(&p, 72, 40, &why));
        memcpy(p.rgb, frames.ptr + idx[MIN(i, n - 1)] * n_bytes, n_bytes);
        assert_true(picture_resize(&p, 32, 64, &why));
        unsigned worst = worst_of(p.rgb, info.input.rgb + (size_t)i * 32 * 64 * 3, 32 * 64 * 3);
        if (worst > 1)
            fail_msg("%s: frame %u is %u levels off", name, i, worst);
        picture_deinit(&p);
        assert_true(info.seconds[i / 2] == seconds[i / 2]);
    }
    kt_media_close(m);
    buf_deinit(&frames);
    free(path);
}

static void clips_through_ffmpeg(void **state)
{
    (void)state;
    check_clip("clip.mp4", 30, 10, 6);
    check_clip("clip.webm", 24, 12, 4);
}

/* A clip only its owner may read is read; what is none is named. */
static void clips_that_are_none(void **state)
{
    (void)state;
    char dir[] = "/tmp/kontor-clips-XXXXXX";
    assert_non_null(mkdtemp(dir));
    write_frame(dir, "private.mp4", "clip.mp4");
    struct kt_media_options o = options();
    struct kt_media *m;
    struct kt_error err;
    char *path = path_join(dir, "private.mp4");
    if (kt_media_open_video(&m, path, &o, &err))
        fail_msg("%s", err.text);
    kt_media_close(m);
    assert_int_equal(truncate(path, 3000), 0);
    assert_int_equal(kt_media_open_video(&m, path, &o, &err), KT_E_UNSUPPORTED);
    static const char PLAYLIST[] = "#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n";
    assert_int_equal(file_replace(path, PLAYLIST, sizeof(PLAYLIST) - 1, 0600, &err), KT_OK);
    assert_int_equal(kt_media_open_video(&m, path, &o, &err), KT_E_UNSUPPORTED);
    write_frame(dir, "private.mp4", "colour.gif");
    assert_int_equal(kt_media_open_video(&m, path, &o, &err), KT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "given as an image"));
    free(path);
    remove_all(dir);
}

static void what_ffprobe_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t n;
        uint32_t num, den;
    } CASES[] = {
        { "r_frame_rate=25/1\navg_frame_rate=30000/1001\nnb_read_packets=250\n", 250, 30000, 1001 },
        { "r_frame_rate=25/1\navg_frame_rate=0/0\nnb_read_packets=9\n", 9, 25, 1 },
        { "r_frame_rate=0/0\navg_frame_rate=0/0\nnb_read_frames=7\nnb_read_packets=9\n", 7, 0, 0 },
        { "avg_frame_rate=25/1\nnb_read_packets=N/A\n", 0, 0, 0 },
        { "nb_read_packets=99999999999999999999\n", 0, 0, 0 },
        { "x_nb_read_packets=5\n", 0, 0, 0 },
        { "", 0, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct video_facts f;
        bool ok = video_facts_parse(&f, span_of(CASES[i].text));
        if (ok != (CASES[i].n > 0) ||
            (ok &&
             (f.n_frames != CASES[i].n || f.fps_num != CASES[i].num || f.fps_den != CASES[i].den)))
            fail_msg("case %zu: %llu frames at %u/%u", i, (unsigned long long)f.n_frames, f.fps_num,
                     f.fps_den);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_the_processors),
        cmocka_unit_test(pictures_through_the_sandbox),
        cmocka_unit_test(bytes_and_a_models_sizes),
        cmocka_unit_test(sizes_are_the_processors),
        cmocka_unit_test(resizing_is_the_processors),
        cmocka_unit_test(frames_are_the_processors),
        cmocka_unit_test(what_is_no_picture),
        cmocka_unit_test(what_is_cut_off),
        cmocka_unit_test(ppm_and_pgm),
        cmocka_unit_test(what_is_too_large),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(a_worker_that_lies),
        cmocka_unit_test(folder_of_frames),
        cmocka_unit_test(clips_through_ffmpeg),
        cmocka_unit_test(clips_that_are_none),
        cmocka_unit_test(what_ffprobe_says),
    };
    return cmocka_run_group_tests_name("media", tests, NULL, NULL);
}
