/* What the processor files of a model's folder say: preprocessor_config.json of images,
 * video_preprocessor_config.json of videos, or both inside processor_config.json (newer exports). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "base/files.h"
#include "base/size.h"
#include "media/media_priv.h"

static enum kt_status load(json_t **out, const char *folder, const char *file, struct kt_error *err)
{
    *out = NULL;
    char *path = path_join(folder, file);
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    struct buf text = { 0 };
    enum kt_status st = file_exists(path) ? file_read(&text, path, CONFIG_MAX_BYTES, err) : KT_OK;
    if (!st && text.len) {
        *out = json_loadb(text.ptr, text.len, 0, NULL);
        if (!json_is_object(*out))
            st = kt_fail(err, KT_E_FORMAT, "%s: expected one JSON object", path);
    }
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    buf_deinit(&text);
    free(path);
    return st;
}

static void read_pixels(uint64_t *out, const json_t *c, const char *old, const char *edge)
{
    const json_t *v = json_object_get(c, old);
    if (!json_is_integer(v))
        v = json_object_get(json_object_get(c, "size"), edge);
    if (json_integer_value(v) > 0)
        *out = (uint64_t)json_integer_value(v);
}

static void read_count(uint32_t *out, const json_t *c, const char *key)
{
    json_int_t v = json_integer_value(json_object_get(c, key));
    if (v > 0 && v <= FRAMES_MAX)
        *out = (uint32_t)v;
}

/* The towers we know take patches of 16, two by two. */
static enum kt_status check_patches(const json_t *c, const char *folder, struct kt_error *err)
{
    json_int_t patch = json_integer_value(json_object_get(c, "patch_size"));
    json_int_t merge = json_integer_value(json_object_get(c, "merge_size"));
    if ((patch && patch != 16) || (merge && merge != 2))
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: its pictures come in patches of %d, merged by %d; 16 and 2 are supported", folder,
            (int)patch, (int)merge);
    return KT_OK;
}

enum kt_status media_config_read(struct media_config *out, const char *folder, struct kt_error *err)
{
    *out = (struct media_config){
        IMAGE_MIN_PIXELS, IMAGE_MAX_PIXELS, VIDEO_MIN_PIXELS, VIDEO_MAX_PIXELS, 2,
        VIDEO_FRAMES_MIN, VIDEO_FRAMES_MAX
    };
    struct stat sb;
    if (!folder || stat(folder, &sb) != 0 || !S_ISDIR(sb.st_mode))
        return KT_OK;
    json_t *image = NULL, *video = NULL, *both = NULL;
    enum kt_status st = load(&image, folder, "preprocessor_config.json", err);
    if (!st)
        st = load(&video, folder, "video_preprocessor_config.json", err);
    if (!st)
        st = load(&both, folder, "processor_config.json", err);
    const json_t *i = image ? image : json_object_get(both, "image_processor");
    const json_t *v = video ? video : json_object_get(both, "video_processor");
    if (!st)
        st = check_patches(i, folder, err);
    if (!st)
        st = check_patches(v, folder, err);
    read_pixels(&out->image_min_pixels, i, "min_pixels", "shortest_edge");
    read_pixels(&out->image_max_pixels, i, "max_pixels", "longest_edge");
    read_pixels(&out->video_min_pixels, v, "min_pixels", "shortest_edge");
    read_pixels(&out->video_max_pixels, v, "max_pixels", "longest_edge");
    read_count(&out->frames_min, v, "min_frames");
    read_count(&out->frames_max, v, "max_frames");
    double fps = json_number_value(json_object_get(v, "fps"));
    if (fps > 0)
        out->fps = fps;
    json_decref(image);
    json_decref(video);
    json_decref(both);
    return st;
}
