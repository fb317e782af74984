/* media/media.h: what this module is to the programs that contain it; for everybody else there is
 * kontor/media.h. */
#ifndef MEDIA_MEDIA_H
#define MEDIA_MEDIA_H

#include <stdbool.h>

/* The worker's main, for the hidden command `media-worker`; talks on the descriptors it was started
 * with. The return value is the exit status. */
int media_worker_main(int argc, char **argv);

/* Are the programs there that video files need? For `kontor doctor`. */
bool media_has_ffmpeg(void);

#endif
