/* Which version of a file this is. Called through files.py. */

#define _GNU_SOURCE
#include <stdint.h>
#include <sys/stat.h>

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

/* When a file was last changed, in nanoseconds, and its number; -1 where there is none. */
int recsys_version(const char *path, int64_t *found) {
    struct stat status;
    if (stat(path, &status)) return -1;
    found[0] = (int64_t)status.st_mtim.tv_sec * 1000000000 + status.st_mtim.tv_nsec;
    found[1] = (int64_t)status.st_ino;
    return 0;
}
