/* http/limits.h: every bound of the server, with its reason. */
#ifndef HTTP_LIMITS_H
#define HTTP_LIMITS_H

enum {
    HTTP_HEAD_BYTES =
        16384, /* request line and header fields; browsers stay below 8 KiB           */
    HTTP_TARGET_BYTES =
        4096,             /* the request line's path and query                                   */
    HTTP_FIELDS = 100,    /* header fields                                                       */
    HTTP_HEAD_MS = 10000, /* from the connection to the last byte of the head, however it drips  */
    HTTP_BODY_GRACE_MS =
        10000,             /* after this long a body must have come at the rate below             */
    HTTP_BODY_RATE = 1024, /* bytes a second                                                      */
    HTTP_SEND_S = 30,      /* a client that takes nothing for so long is gone                     */
    HTTP_LINGER_MS = 2000, /* after the answer: let the client read it before the reset           */
    HTTP_CONNECTIONS =
        2600,              /* open at once: 2,000 idle ones, and room for those that work         */
    HTTP_PER_ADDRESS = 64, /* of one address; loopback is exempt: a proxy's clients share it      */
    HTTP_HANDLERS =
        2304, /* requests being worked on or waiting for a model: 2,000 that wait, and room */
    HTTP_BODIES_BYTES =
        256 << 20, /* bodies in memory at once, of all requests together                */
    HTTP_STREAM_BYTES =
        8 << 20, /* of an event stream, made but not sent: its client is gone for us    */
    HTTP_HEARTBEAT_MS =
        15000, /* a comment on a silent event stream: keeps proxies from closing it   */
    HTTP_STACK_BYTES =
        1 << 20,           /* of a thread: no recursion in here, and SQLite needs little          */
    HTTP_PARAMS = 4,       /* {names} in a route's path                                           */
    HTTP_REPLY_FIELDS = 8, /* header fields that a handler adds                                   */
};

#endif
