# kt_sqlite3mc: SQLite3 Multiple Ciphers as one static library, shared by all build folders.
#
# Its one source file takes about two minutes to compile, so the library is kept beside the source, in a folder
# named after everything it was made from (source, compiler, flags, target): a release, a sanitizer and a clang
# build each compile it once, and a second build folder of the same kind not at all.
#
# Why each option:
#   HAVE_CIPHER_*          only ChaCha20-Poly1305: authenticated pages, fast without AES instructions; the other
#                          ciphers would be code that nobody needs
#   ENABLE_FTS5            full-text search
#   SECURE_DELETE          freed bytes are overwritten with zeros
#   TEMP_STORE=3           temporary tables and sorts stay in memory, never as plain text in a file
#   DQS=0, TRUSTED_SCHEMA=0, OMIT_LOAD_EXTENSION, OMIT_DEPRECATED, OMIT_SHARED_CACHE, MAX_ATTACHED=1, USE_URI=0
#                          less that can go wrong; one attached database is what VACUUM needs
#   THREADSAFE=2           a connection belongs to one thread at a time, several may work at once
#   DEFAULT_FOREIGN_KEYS=1 a document's rows go with the document
#   MAX_MMAP_SIZE=0        an encrypted file is never mapped
set(_source ${KONTOR_DEPS}/sqlite3mc/sqlite3.c)
if(NOT EXISTS ${_source})
    message(FATAL_ERROR "${_source} is missing: run 'make deps', which fetches it and checks its hash")
endif()

set(_flags -O1 -fPIC -w -fvisibility=hidden
    -DHAVE_CIPHER_AES_128_CBC=0 -DHAVE_CIPHER_AES_256_CBC=0 -DHAVE_CIPHER_SQLCIPHER=0 -DHAVE_CIPHER_RC4=0
    -DHAVE_CIPHER_ASCON128=0 -DHAVE_CIPHER_AEGIS=0 -DHAVE_CIPHER_CHACHA20=1 -DCODEC_TYPE=CODEC_TYPE_CHACHA20
    -DSQLITE_ENABLE_FTS5 -DSQLITE_SECURE_DELETE -DSQLITE_TEMP_STORE=3 -DSQLITE_DQS=0 -DSQLITE_TRUSTED_SCHEMA=0
    -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_MAX_ATTACHED=1
    -DSQLITE_USE_URI=0 -DSQLITE_THREADSAFE=2 -DSQLITE_DEFAULT_FOREIGN_KEYS=1 -DSQLITE_MAX_MMAP_SIZE=0
    -DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS -DSQLITE_STRICT_SUBTYPE=1)

file(SHA256 ${_source} _source_hash)
string(SHA256 _key "${_source_hash} ${CMAKE_C_COMPILER} ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} ${CMAKE_SYSTEM_PROCESSOR} ${_flags}")
string(SUBSTRING ${_key} 0 16 _key)
set(_lib ${KONTOR_DEPS}/sqlite3mc/lib/${_key}/libsqlite3mc.a)

add_custom_command(OUTPUT ${_lib}
    COMMAND sh ${CMAKE_CURRENT_LIST_DIR}/sqlite3mc.sh ${_lib} ${_source} ${CMAKE_AR} ${CMAKE_C_COMPILER} ${_flags}
    DEPENDS ${_source} ${CMAKE_CURRENT_LIST_DIR}/sqlite3mc.sh
    COMMENT "SQLite3 Multiple Ciphers (once, about two minutes on a slow core)"
    VERBATIM)
add_custom_target(sqlite3mc_build DEPENDS ${_lib})
add_library(kt_sqlite3mc STATIC IMPORTED GLOBAL)
add_dependencies(kt_sqlite3mc sqlite3mc_build)
set_target_properties(kt_sqlite3mc PROPERTIES IMPORTED_LOCATION ${_lib})
# Its headers are not held to our warnings.
target_include_directories(kt_sqlite3mc SYSTEM INTERFACE ${KONTOR_DEPS}/sqlite3mc)
target_link_libraries(kt_sqlite3mc INTERFACE Threads::Threads m)
