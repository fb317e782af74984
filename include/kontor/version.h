/* kontor/version.h: the version of the library and the program. */
#ifndef KONTOR_VERSION_H
#define KONTOR_VERSION_H

#define KT_VERSION "0.1.0"

#endif
