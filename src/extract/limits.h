/* extract/limits.h: every bound of this module, with its reason. */
#ifndef EXTRACT_LIMITS_H
#define EXTRACT_LIMITS_H

enum {
    /* Defaults of struct extract_options. A 3,000-page PDF takes pdftotext some 20 s on a slow
       machine. */
    EXTRACT_TIMEOUT_MS = 60000,
    EXTRACT_MEMORY_BYTES = 1024 * 1024 * 1024,
    /* 64 MiB of text are some 20,000 pages: more than any office document, less than memory. */
    EXTRACT_OUTPUT_BYTES = 64 * 1024 * 1024,

    /* A file that is held in memory whole while it is parsed (all formats but PDF). With the text
     * made of it, it must fit into EXTRACT_MEMORY_BYTES several times over. */
    INPUT_MAX_BYTES = 128 * 1024 * 1024,
    /* Detection looks at this much: %PDF- may stand anywhere in the first kilobyte, and before an invoice's first element there
       may be pages of terms of use. */
    DETECT_HEAD_BYTES = 32768,

    BLOCKS_MAX = 1024 * 1024, /* a block of 64 bytes on average at the text bound */
    BLOCK_RAW_MAX = 64 * 1024 * 1024,
    TITLE_MAX_BYTES = 400,
    PAGES_MAX = 1000000,

    /* Marks that may follow one letter; more than Unicode's stream-safe 30 is no language, and
       sorting them is quadratic. */
    NONSTARTERS_MAX = 30,

    HTML_DEPTH_MAX =
        10000,           /* word processors leave hundreds of unclosed <font>; a bomb has 100,000 */
    XML_DEPTH_MAX = 256, /* WordprocessingML nests some 40 deep */
    /* Of a file that is held as a tree; an invoice of 10,000 lines has some 400,000. */
    TREE_NODES_MAX = 2 * 1024 * 1024,
    TREE_NAMES_MAX = 128 * 1024 * 1024,
    PARA_DEPTH_MAX = 16, /* a text box in a text box in ... */
    PARTS_MAX = 2048,    /* of a package that one part leads to: slides, sheets, headers */
    DOCX_FURNITURE_MAX =
        640, /* blocks at the beginning among which repeated page headers are sought */
    DOCX_STYLES_MAX = 4096, /* Word itself stops at 4,079 */

    /* A sheet with all of Excel's rows full of text is above the text bound anyway. */
    SHEET_STRINGS_MAX = 4 * 1024 * 1024,
    SHEET_STYLES_MAX = 65536, /* Excel itself stops at 65,490 */
    /* A cell or row that says it stands there a million times: once is enough to be found, and some
       tables repeat a heading. */
    ODF_REPEAT_MAX = 64,
    RTF_DEPTH_MAX = 1000, /* groups; writers nest some 20 deep */

    OCR_DPI = 300,       /* what tesseract was made for */
    OCR_PAGES_MAX = 500, /* of one scan; half an hour on a slow machine */

    /* Files inside a file, together; what is larger is unpacked into a folder by who has it. */
    PARTS_BYTES_MAX = 192 * 1024 * 1024,
    DOC_PARTS_MAX = 2000,
    PART_NAME_MAX = 255,
    UNPACK_FILES_MAX = 10000, /* members of an archive looked at, folders among them */
    CFB_ENTRIES_MAX = 262144, /* a message with 2,000 attachments has some 60,000 */
    CFB_DEPTH_MAX = 64,       /* each message in a message takes two */
    CFB_READ_FACTOR = 4,      /* bytes read of a compound file: its size so many times */
    CARD_FIELDS_MAX = 4096,   /* lines of one calendar entry or contact; more are left out */
    CARD_DEPTH_MAX = 16,      /* components in components */
    OLD_MEMORY_BYTES =
        INT32_MAX,      /* address space of LibreOffice, most of it libraries and stacks */
    ATTACHED_MAX = 200, /* to one PDF; each costs two processes */
    ATTACHED_LIST_MAX = 1024 * 1024,
    MAIL_DEPTH_MAX = 20, /* multiparts in multiparts */

    ZIP_ENTRIES_MAX = 10000,
    ZIP_NAME_MAX = 512,
    ZIP_PART_MAX_BYTES = 512 * 1024 * 1024, /* one part, unpacked */
    /* Deflate reaches 1032:1 on zeros; the XML of real documents 10 to 60:1. Small parts may be as
       repetitive as they like. */
    ZIP_RATIO_MAX = 200,
    ZIP_RATIO_FREE_BYTES = 4 * 1024 * 1024,
};

#endif
