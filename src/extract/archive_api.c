/* Loading libarchive; see archive_api.h. */
#include "extract/archive_api.h"

#include <dlfcn.h>
#include <string.h>

#include "base/size.h"

#define ARCHIVE(name)                                                                              \
    {                                                                                              \
        "archive_" #name, offsetof(struct archive_api, name)                                       \
    }

static const struct {
    const char *symbol;
    size_t at;
} symbols[] = {
    ARCHIVE(read_new),
    ARCHIVE(read_free),
    ARCHIVE(read_support_filter_gzip),
    ARCHIVE(read_support_filter_bzip2),
    ARCHIVE(read_support_filter_xz),
    ARCHIVE(read_support_filter_lzma),
    ARCHIVE(read_support_filter_zstd),
    ARCHIVE(read_support_format_tar),
    ARCHIVE(read_support_format_7zip),
    ARCHIVE(read_support_format_raw),
    ARCHIVE(read_open_memory),
    ARCHIVE(read_next_header),
    ARCHIVE(read_data),
    ARCHIVE(read_has_encrypted_entries),
    { "archive_errno", offsetof(struct archive_api, error_number) },
    ARCHIVE(format),
    ARCHIVE(entry_pathname_utf8),
    ARCHIVE(entry_pathname),
    ARCHIVE(entry_filetype),
    ARCHIVE(entry_hardlink),
    ARCHIVE(entry_is_data_encrypted),
};

static bool load(struct archive_api *api)
{
    void *lib = dlopen("libarchive.so.13", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; lib && i < ARRAY_LEN(symbols); i++) {
        void *f = dlsym(lib, symbols[i].symbol);
        if (!f)
            return false;
        memcpy((char *)api + symbols[i].at, &f, sizeof(f));
    }
    return lib != NULL;
}

const struct archive_api *archive_api(void)
{
    static struct archive_api api;
    static enum { NOT_TRIED, LOADED, MISSING } state;
    if (state == NOT_TRIED)
        state = load(&api) ? LOADED : MISSING;
    return state == LOADED ? &api : NULL;
}
