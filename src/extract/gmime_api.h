/* extract/gmime_api.h: what of GMime is used, loaded when mail is read: linked, it and what it brings (GLib, GnuPG's
 * library) would be started with every command.
 *
 * Objects are opaque here; the names are GMime 3's without "g_mime_". What a function returns is borrowed from the object
 * it was asked for, but for 'new' ones, which unref() gives back. */
#ifndef EXTRACT_GMIME_API_H
#define EXTRACT_GMIME_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gmime_bytes { /* GByteArray */
    uint8_t *data;
    unsigned len;
};

struct gmime_api {
    void (*init)(void);
    void *(*stream_mem_new)(void);                             /* new */
    void *(*stream_mem_new_with_buffer)(const char *, size_t); /* new */
    struct gmime_bytes *(*stream_mem_get_byte_array)(void *mem);
    void *(*parser_new_with_stream)(void *stream);                  /* new */
    void *(*parser_construct_message)(void *parser, void *options); /* new; NULL: none */
    void *(*message_get_mime_part)(void *message);
    const char *(*object_get_header)(void *object,
                                     const char *name); /* decoded, UTF-8; NULL: none */
    void *(*object_get_content_type)(void *object);
    const char *(*object_get_disposition)(void *object);
    const char *(*object_get_content_id)(void *object);
    long (*object_write_to_stream)(void *object, void *options, void *stream);
    int (*content_type_is_type)(void *type, const char *major, const char *minor);
    const char *(*content_type_get_parameter)(void *type, const char *name);
    int (*multipart_get_count)(void *multipart);
    void *(*multipart_get_part)(void *multipart, int i);
    const char *(*part_get_filename)(void *part);
    void *(*part_get_content)(void *part); /* NULL: none */
    long (*data_wrapper_write_to_stream)(void *content, void *stream);
    void *(*message_part_get_message)(void *part);
    size_t (*multipart_get_type)(void);
    size_t (*part_get_type)(void);
    size_t (*message_part_get_type)(void);
    int (*type_check_instance_is_a)(void *object, size_t type);
    void (*unref)(void *object);
};

/* Loads it at the first call, which must come before the walls. NULL: not installed. */
const struct gmime_api *gmime_api(void);

#endif
