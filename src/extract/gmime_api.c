/* Loading GMime; see gmime_api.h. */
#include "extract/gmime_api.h"

#include <dlfcn.h>
#include <string.h>

#include "base/size.h"

#define G_MIME(name)                                                                               \
    {                                                                                              \
        "g_mime_" #name, offsetof(struct gmime_api, name)                                          \
    }

static const struct {
    const char *symbol;
    size_t at;
} symbols[] = {
    G_MIME(init),
    G_MIME(stream_mem_new),
    G_MIME(stream_mem_new_with_buffer),
    G_MIME(stream_mem_get_byte_array),
    G_MIME(parser_new_with_stream),
    G_MIME(parser_construct_message),
    G_MIME(message_get_mime_part),
    G_MIME(object_get_header),
    G_MIME(object_get_content_type),
    G_MIME(object_get_disposition),
    G_MIME(object_get_content_id),
    G_MIME(object_write_to_stream),
    G_MIME(content_type_is_type),
    G_MIME(content_type_get_parameter),
    G_MIME(multipart_get_count),
    G_MIME(multipart_get_part),
    G_MIME(part_get_filename),
    G_MIME(part_get_content),
    G_MIME(data_wrapper_write_to_stream),
    G_MIME(message_part_get_message),
    G_MIME(multipart_get_type),
    G_MIME(part_get_type),
    G_MIME(message_part_get_type),
    { "g_type_check_instance_is_a", offsetof(struct gmime_api, type_check_instance_is_a) },
    { "g_object_unref", offsetof(struct gmime_api, unref) },
};

static bool load(struct gmime_api *api)
{
    /* what it needs comes with it, and dlsym() finds that through it */
    void *lib = dlopen("libgmime-3.0.so.0", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; lib && i < ARRAY_LEN(symbols); i++) {
        void *f = dlsym(lib, symbols[i].symbol);
        if (!f)
            return false;
        memcpy((char *)api + symbols[i].at, &f, sizeof(f));
    }
    if (lib)
        api->init();
    return lib != NULL;
}

const struct gmime_api *gmime_api(void)
{
    static struct gmime_api api;
    static enum { NOT_TRIED, LOADED, MISSING } state;
    if (state == NOT_TRIED)
        state = load(&api) ? LOADED : MISSING;
    return state == LOADED ? &api : NULL;
}
