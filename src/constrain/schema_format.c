/* constrain/schema_format.c: the formats of strings, as patterns. Each describes strings that are of the format beyond
 * doubt; what few write (leap seconds, addresses within comments, IPv6 with an IPv4 tail) is left out. */
#include "constrain/schema_priv.h"

#include "base/size.h"

#define YEAR_DAY                                                                                   \
    "(\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|"            \
    "02-(0[1-9]|1\\d|2[0-8]))|(\\d\\d(0[48]|[2468][048]|[13579][26])|"                             \
    "([02468][048]|[13579][26])00)-02-29)"
#define CLOCK "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"
/* At most 62 characters without two hyphens in a row, and four of them: 251 of the 253 that a name may have. */
#define LABEL   "[A-Za-z0-9]{1,20}(-[A-Za-z0-9]{1,20}){0,2}"
#define ATOM    "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"
#define PCHAR   "([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define REST    "(/" PCHAR "*)*(\\?(" PCHAR "|[/?])*)?(#(" PCHAR "|[/?])*)?"
#define URI     "[A-Za-z][A-Za-z0-9+.-]*:(//[A-Za-z0-9._~-]+(:\\d{1,5})?" REST "|" PCHAR "+" REST ")"
#define H16     "[0-9A-Fa-f]{1,4}"
#define POINTER "(/([^/~]|~[01])*)*"
#define MONTHS  "\\d{1,9}M(\\d{1,9}D)?"
#define MINUTES "\\d{1,9}M(\\d{1,9}S)?"
#define OF_DAY  "T(\\d{1,9}H(" MINUTES ")?|" MINUTES "|\\d{1,9}S)"

static const struct {
    const char *name, *pattern; /* NULL: known, and not to be held */
} FORMATS[] = {
    { "date", "^(?!0000)" YEAR_DAY "$" },
    { "time", "^" CLOCK "$" },
    { "date-time", "^(?!0000)" YEAR_DAY "T" CLOCK "$" },
    { "duration",
      "^P((\\d{1,9}D|" MONTHS "|\\d{1,9}Y(" MONTHS ")?)(" OF_DAY ")?|" OF_DAY "|\\d{1,9}W)$" },
    { "email", "^" ATOM "(\\." ATOM "){0,2}@" LABEL "(\\." LABEL "){1,2}$" },
    { "idn-email", "^" ATOM "(\\." ATOM "){0,2}@" LABEL "(\\." LABEL "){1,2}$" },
    { "hostname", "^" LABEL "(\\." LABEL "){0,3}$" },
    { "idn-hostname", "^" LABEL "(\\." LABEL "){0,3}$" },
    { "ipv4",
      "^((25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)\\.){3}(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)$" },
    { "ipv6", "^((" H16 ":){7}" H16 "|(" H16 ":){1,7}:|(" H16 ":){1,6}:" H16 "|(" H16
              ":){1,5}(:" H16 "){2}|(" H16 ":){1,4}(:" H16 "){3}|(" H16 ":){1,3}(:" H16 "){4}|(" H16
              ":){1,2}(:" H16 "){5}|" H16 ":(:" H16 "){6}|:(:" H16 "){1,7}|::)$" },
    { "uuid", "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$" },
    { "uri", "^" URI "$" },
    { "iri", "^" URI "$" },
    { "uri-reference", "^(" URI "|/(" PCHAR "+" REST ")?)$" },
    { "iri-reference", "^(" URI "|/(" PCHAR "+" REST ")?)$" },
    { "uri-template", "^" URI "$" },
    { "json-pointer", "^" POINTER "$" },
    { "relative-json-pointer", "^(0|[1-9]\\d{0,8})(#|" POINTER ")$" },
    { "regex", NULL },
};

struct span format_pattern(struct compilation *c, const struct js *format)
{
    for (size_t i = 0; i < ARRAY_LEN(FORMATS); i++) {
        if (!span_eq_str(format->text, FORMATS[i].name))
            continue;
        if (!FORMATS[i].pattern)
            sc_fail(c, KT_E_UNSUPPORTED, format, NULL,
                    "this format cannot be held; leave it out and check afterwards");
        return span_of(FORMATS[i].pattern);
    }
    return (struct span){ 0 };
}

bool format_limits(struct span format, const char **min, const char **max)
{
    static const char *const LIMITS[][3] = {
        { "int32", "-2147483648", "2147483647" },
        { "int64", "-9223372036854775808", "9223372036854775807" },
        { "uint32", "0", "4294967295" },
        { "uint64", "0", "18446744073709551615" },
    };
    for (size_t i = 0; i < ARRAY_LEN(LIMITS); i++) {
        if (span_eq_str(format, LIMITS[i][0])) {
            *min = LIMITS[i][1];
            *max = LIMITS[i][2];
            return true;
        }
    }
    return false;
}
