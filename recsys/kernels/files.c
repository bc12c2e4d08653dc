/* The version of a file. */

#define _GNU_SOURCE
#include "kernels.h"

#include <sys/stat.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

/* Fill in when a file was last changed, in nanoseconds, and its inode number; return -1 if there is
 * no such file. */
int recsys_file_version(const char *path, int64_t *found) {
    struct stat status;
    if (stat(path, &status)) return -1;
    found[0] = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    found[1] = (int64_t)status.st_ino;
    return 0;
}
