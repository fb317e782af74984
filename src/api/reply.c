/* api/reply.c: answers out. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/log.h"
#include "base/utf8.h"

json_t *text_json(const char *text, size_t len)
{
    json_t *s = json_stringn(text ? text : "", len);
    if (s)
        return s;
    struct buf b = { 0 };
    utf8_repair(&b, (struct span){ text, len });
    s = b.ptr ? json_stringn(b.ptr, b.len) : json_string("");
    buf_deinit(&b);
    return s;
}

static char *dump(json_t *value)
{
    return value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9))
                 : NULL;
}

void reply_json(struct call *c, int status, json_t *value)
{
    char *text = dump(value);
    json_decref(value);
    if (text)
        http_reply(c->rq, status, "application/json", text, strlen(text));
    else
        http_reply(c->rq, 503, "application/json", "{\"error\":{\"message\":\"out of memory\"}}",
                   35);
    free(text);
}

const char *type_of_status(enum style style, int status)
{
    switch (status) {
    case 401:
        return style == STYLE_ANTHROPIC ? "authentication_error" : "invalid_request_error";
    case 403:
        return style == STYLE_ANTHROPIC ? "permission_error" : "invalid_request_error";
    case 404:
        return style == STYLE_ANTHROPIC ? "not_found_error" : "invalid_request_error";
    case 413:
        return style == STYLE_ANTHROPIC ? "request_too_large" : "invalid_request_error";
    case 429:
        return style == STYLE_ANTHROPIC ? "rate_limit_error" : "rate_limit_error";
    case 503:
    case 529:
        return style == STYLE_ANTHROPIC ? "overloaded_error" : "server_error";
    default:
        return status < 500               ? "invalid_request_error"
               : style == STYLE_ANTHROPIC ? "api_error"
                                          : "server_error";
    }
}

json_t *error_json(enum style style, int status, const char *type, const char *code,
                   const char *param, const char *message, const char *request_id)
{
    if (!type)
        type = type_of_status(style, status);
    json_t *text = text_json(message, strlen(message));
    if (style == STYLE_ANTHROPIC)
        return json_pack("{s:s,s:{s:s,s:o},s:s}", "type", "error", "error", "type", type, "message",
                         text, "request_id", request_id);
    return json_pack("{s:{s:o,s:s,s:s?,s:s?}}", "error", "message", text, "type", type, "param",
                     param, "code", code);
}

static enum style style_of(const struct call *c)
{
    if (c->route)
        return c->route->style;
    return strncmp(http_path(c->rq), "/v1/messages", 12) == 0 ? STYLE_ANTHROPIC : STYLE_OPENAI;
}

void reply_error(struct call *c, int status, const char *type, const char *code, const char *param,
                 const char *fmt, ...)
{
    char message[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    /* Anthropic's errors have no field for it, its messages begin with it */
    if (style_of(c) == STYLE_ANTHROPIC && param && !strstr(message, param)) {
        char named[sizeof(message) + 80];
        snprintf(named, sizeof(named), "%.64s: %s", param, message);
        reply_json(c, status,
                   error_json(STYLE_ANTHROPIC, status, type, code, param, named, http_id(c->rq)));
        return;
    }
    reply_json(c, status,
               error_json(style_of(c), status, type, code, param, message, http_id(c->rq)));
}

int status_of(enum kt_status st)
{
    switch (st) {
    case KT_OK:
        return 200;
    case KT_E_USAGE:
    case KT_E_FORMAT:
    case KT_E_UNSUPPORTED:
    case KT_E_LIMIT:
        return 400;
    case KT_E_KEY:
        return 401;
    case KT_E_NOTFOUND:
        return 404;
    case KT_E_EXISTS:
        return 409;
    case KT_E_NOSPACE:
        return 507;
    case KT_E_BUSY:
    case KT_E_NOMEM:
        return 503;
    case KT_E_TIMEOUT:
        return 429;
    case KT_E_CANCELLED:
        return 499; /* nobody reads it */
    case KT_E_IO:
    case KT_E_INTERNAL:
        return 500;
    }
    return 500;
}

void reply_kt_error(struct call *c, const struct kt_error *err)
{
    int status = status_of(err->status);
    const char *code = err->status == KT_E_LIMIT ? "context_length_exceeded" : NULL;
    if (status == 503) {
        http_field(c->rq, "Retry-After", "1");
        status = style_of(c) == STYLE_ANTHROPIC ? 529 : 503;
    }
    if (status >= 500 && err->status != KT_E_BUSY) {
        log_event(LOG_ERROR, "api.failed", LOG_I64("status", err->status), LOG_END);
        /* paths and the like are for the operator's eyes */
        reply_error(c, status, NULL, code, NULL, "the server could not do this (%s); request %s",
                    kt_status_name(err->status), http_id(c->rq));
        return;
    }
    reply_error(c, status, NULL, code, NULL, "%s", err->text);
}

bool event_send(struct call *c, const char *name, json_t *value)
{
    struct buf b = { 0 };
    char *text = dump(value);
    json_decref(value);
    if (text) {
        if (name)
            buf_printf(&b, "event: %s\n", name);
        buf_append_str(&b, "data: ");
        buf_append_str(&b, text);
        buf_append_str(&b, "\n\n");
    }
    bool ok = text && !b.failed && http_stream_write(c->rq, b.ptr, b.len);
    buf_deinit(&b);
    free(text);
    return ok;
}
