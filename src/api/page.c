/* api/page.c: the page for people, at '/'. Its files (web/) are part of the program.
 *
 * They hold nothing of anybody, so they need no login; everything they show is fetched through the same routes that
 * programs use. What a browser may do with them is as little as works: scripts, styles and requests of this origin,
 * no frames around it, no forms to elsewhere, and text can only ever be set as text. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "api/api_priv.h"

#define WEB(symbol)                                                                                \
    extern const unsigned char symbol[];                                                           \
    extern const size_t symbol##_len;
WEB(web_index_html)
WEB(web_app_js)
WEB(web_net_js)
WEB(web_office_js)
WEB(web_pictures_js)
WEB(web_reading_js)
WEB(web_talking_js)
WEB(web_view_js)
WEB(web_words_js)
WEB(web_style_css)
WEB(web_icon_svg)

struct page_file {
    const char *name, *type;
    const unsigned char *bytes;
    const size_t *len;
};

static const struct page_file INDEX = { "", "text/html; charset=utf-8", web_index_html,
                                        &web_index_html_len };
static const struct page_file FILES[] = {
    { "app.js", "text/javascript; charset=utf-8", web_app_js, &web_app_js_len },
    { "net.js", "text/javascript; charset=utf-8", web_net_js, &web_net_js_len },
    { "office.js", "text/javascript; charset=utf-8", web_office_js, &web_office_js_len },
    { "pictures.js", "text/javascript; charset=utf-8", web_pictures_js, &web_pictures_js_len },
    { "reading.js", "text/javascript; charset=utf-8", web_reading_js, &web_reading_js_len },
    { "talking.js", "text/javascript; charset=utf-8", web_talking_js, &web_talking_js_len },
    { "view.js", "text/javascript; charset=utf-8", web_view_js, &web_view_js_len },
    { "words.js", "text/javascript; charset=utf-8", web_words_js, &web_words_js_len },
    { "style.css", "text/css; charset=utf-8", web_style_css, &web_style_css_len },
    { "icon.svg", "image/svg+xml", web_icon_svg, &web_icon_svg_len },
};

static const char POLICY[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

/* Asked for again with every visit, sent again only when the program has changed. */
static void etag_of(const struct page_file *f, char out[static 35])
{
    unsigned char hash[16];
    crypto_generichash(hash, sizeof(hash), f->bytes, *f->len, NULL, 0);
    out[0] = '"';
    sodium_bin2hex(out + 1, 33, hash, sizeof(hash));
    memcpy(out + 33, "\"", 2);
}

static void reply_file(struct call *c, const struct page_file *f)
{
    char etag[35];
    etag_of(f, etag);
    http_field(c->rq, "Content-Security-Policy", POLICY);
    http_field(c->rq, "Referrer-Policy", "no-referrer");
    http_field(c->rq, "Cross-Origin-Opener-Policy", "same-origin");
    http_field(c->rq, "Cross-Origin-Resource-Policy", "same-origin");
    http_field(c->rq, "Cache-Control", "no-cache");
    http_field(c->rq, "ETag", etag);
    const char *known = http_header(c->rq, "If-None-Match");
    if (known && strstr(known, etag))
        http_reply(c->rq, 304, NULL, "", 0);
    else
        http_reply(c->rq, 200, f->type, (const char *)f->bytes, *f->len);
}

void handle_page(struct call *c)
{
    reply_file(c, &INDEX);
}

void handle_page_file(struct call *c)
{
    const char *name = http_param(c->rq, "file");
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        if (strcmp(name, FILES[i].name) == 0) {
            reply_file(c, &FILES[i]);
            return;
        }
    }
    reply_error(c, 404, NULL, "not_found", "file", "the page has no such file");
}
