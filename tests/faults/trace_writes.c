/* Write a log of all that a process writes below a folder: LD_PRELOAD=trace_writes.so.

   TRACE_FOLDER is the folder, TRACE_LOG the log. If TRACE_DIES_AT is n, the process is killed
   before its n-th sync. Each entry is a line, of which the fields are
   separated by tabs, and for a write the bytes after it. A file is known by its inode, so that
   writes are found whatever its name is by then.

     C inode path            a file was created         M inode path        a folder was made
     W inode offset length   bytes were written         T inode length      a file was cut
     S inode                 a file was synced          D path              a folder was synced
     R inode from to         a name became another      U path              a name was deleted

   A lock is held while a call and its entry are made, so the order of the log is that of the calls.
   What is written through memory maps is not seen; SQLite writes its -shm file so, which it makes
   again after a crash. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static int log_file = -1, n_syncs_left = -1;

/* The function of the C library that has this name. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void *real_write(void) {
    static void *found;
    return found ? found : (found = dlsym(RTLD_NEXT, "write"));
}

__attribute__((constructor)) static void begin(void) {
    const char *wanted = getenv("TRACE_FOLDER"), *path = getenv("TRACE_LOG");
    const char *dies_at = getenv("TRACE_DIES_AT");
    if (dies_at) n_syncs_left = atoi(dies_at);
    if (wanted && path && realpath(wanted, folder))
        log_file = REAL(open)(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static void enter(const char *data, size_t length) {
    ssize_t (*writes)(int, const void *, size_t) = real_write();
    while (length) {
        ssize_t n = writes(log_file, data, length);
        if (n <= 0) {
            _exit(97); /* a log with a gap would prove nothing */
        }
        data += n;
        length -= n;
    }
}

static void entry(const char *format, ...) {
    char line[3 * PATH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    enter(line, length);
}

static int is_inside(const char *path) {
    size_t length = strlen(folder);
    return log_file >= 0 && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* The path of an open file; whether it is inside the folder. */
static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = log_file < 0 ? -1 : readlink(link, path, PATH_MAX - 1);
    path[n < 0 ? 0 : n] = 0;
    return n >= 0 && is_inside(path);
}

/* The absolute path of a name, of which the folder must exist; whether it is inside the folder. */
static int full_path(int at, const char *name, char *path) {
    char joined[2 * PATH_MAX], base[PATH_MAX] = "";
    if (log_file < 0) return 0;
    if (name[0] != '/') {
        if (at == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(at, base) && !base[0]) return 0;
    }
    snprintf(joined, sizeof joined, "%s/%s", base, name);
    for (size_t end = strlen(joined); end > 1 && joined[end - 1] == '/'; end--) joined[end - 1] = 0;
    char *last = strrchr(joined, '/');
    *last = 0;
    if (!realpath(*joined ? joined : "/", path)) return 0;
    size_t length = strlen(path);
    snprintf(path + length, PATH_MAX - length, "/%s", last + 1);
    return is_inside(path);
}

static ino_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static ino_t inode_at(const char *path) {
    struct stat found;
    return lstat(path, &found) ? 0 : found.st_ino;
}

/* ---- files are opened, and names change ------------------------------------------- */

static int opened(int (*opens)(int, const char *, int, ...), int at, const char *name, int flags,
                  mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int was_there = !faccessat(at, name, F_OK, 0), fd = opens(at, name, flags, mode), error = errno;
    if (fd >= 0 && path_of(fd, path)) {
        if (!was_there) entry("C\t%lu\t%s\n", inode_of(fd), path);
        else if (flags & O_TRUNC) entry("T\t%lu\t0\n", inode_of(fd));
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE                                   \
    mode_t mode = 0;                           \
    if (flags & (O_CREAT | O_TMPFILE)) {       \
        va_list arguments;                     \
        va_start(arguments, flags);            \
        mode = va_arg(arguments, mode_t);      \
        va_end(arguments);                     \
    }

int open(const char *name, int flags, ...) { MODE return opened(REAL(openat), AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE return opened(REAL(openat64), AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE return opened(REAL(openat), at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE return opened(REAL(openat64), at, name, flags, mode); }
int creat(const char *name, mode_t mode) { return opened(REAL(openat), AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return opened(REAL(openat64), AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static int renamed(int from_at, const char *from, int to_at, const char *to) {
    char before[PATH_MAX], after[PATH_MAX];
    pthread_mutex_lock(&lock);
    int is_known = full_path(from_at, from, before) & full_path(to_at, to, after);
    int result = REAL(renameat)(from_at, from, to_at, to), error = errno;
    if (!result && is_known) entry("R\t%lu\t%s\t%s\n", inode_at(after), before, after);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int a, const char *from, int b, const char *to) { return renamed(a, from, b, to); }
int renameat2(int a, const char *from, int b, const char *to, unsigned flags) {
    if (flags) { /* an exchange, or no replacement: nothing of recsys does that */
        errno = EINVAL;
        return -1;
    }
    return renamed(a, from, b, to);
}

static int deleted(int at, const char *name, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int is_known = full_path(at, name, path), result = REAL(unlinkat)(at, name, flags), error = errno;
    if (!result && is_known) entry("U\t%s\n", path);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *name) { return deleted(AT_FDCWD, name, 0); }
int unlinkat(int at, const char *name, int flags) { return deleted(at, name, flags); }
int remove(const char *name) { return deleted(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return deleted(AT_FDCWD, name, AT_REMOVEDIR); }

static int made(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = REAL(mkdirat)(at, name, mode), error = errno;
    if (!result && full_path(at, name, path)) entry("M\t%lu\t%s\n", inode_at(path), path);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int at, const char *name, mode_t mode) { return made(at, name, mode); }

/* ---- content ---------------------------------------------------------------------- */

/* Enter the bytes that a call has written before `end`. */
static void wrote(int fd, off_t offset, const struct iovec *parts, int n_parts, ssize_t length) {
    entry("W\t%lu\t%ld\t%zd\n", inode_of(fd), (long)offset, length);
    for (int i = 0; i < n_parts && length > 0; i++) {
        size_t n = parts[i].iov_len < (size_t)length ? parts[i].iov_len : (size_t)length;
        enter(parts[i].iov_base, n);
        length -= n;
    }
}

/* Calls `call`, which writes `parts` at `offset`, or at the place of the file if that is -1. */
#define WRITING(call, offset, parts, n_parts)                                    \
    char path[PATH_MAX];                                                         \
    pthread_mutex_lock(&lock);                                                   \
    ssize_t n = call;                                                            \
    int error = errno;                                                           \
    if (n > 0 && path_of(fd, path))                                              \
        wrote(fd, (offset) < 0 ? lseek(fd, 0, SEEK_CUR) - n : (offset), parts, n_parts, n); \
    pthread_mutex_unlock(&lock);                                                 \
    errno = error;                                                               \
    return n;

ssize_t write(int fd, const void *data, size_t size) {
    struct iovec part = {(void *)data, size};
    ssize_t (*writes)(int, const void *, size_t) = real_write();
    WRITING(writes(fd, data, size), -1, &part, 1)
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    WRITING(REAL(pwrite)(fd, data, size, offset), offset, &part, 1)
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) {
    struct iovec part = {(void *)data, size};
    WRITING(REAL(pwrite64)(fd, data, size, offset), offset, &part, 1)
}
ssize_t writev(int fd, const struct iovec *parts, int n_parts) {
    WRITING(REAL(writev)(fd, parts, n_parts), -1, parts, n_parts)
}
ssize_t pwritev(int fd, const struct iovec *parts, int n_parts, off_t offset) {
    WRITING(REAL(pwritev)(fd, parts, n_parts, offset), offset, parts, n_parts)
}
ssize_t pwritev64(int fd, const struct iovec *parts, int n_parts, off_t offset) {
    WRITING(REAL(pwritev64)(fd, parts, n_parts, offset), offset, parts, n_parts)
}

/* Calls that would move bytes past this log are refused; callers then write. */
ssize_t copy_file_range(int a, off_t *b, int c, off_t *d, size_t e, unsigned f) { errno = ENOSYS; return -1; }
ssize_t sendfile(int a, int b, off_t *c, size_t d) { errno = ENOSYS; return -1; }
ssize_t sendfile64(int a, int b, off_t *c, size_t d) { errno = ENOSYS; return -1; }

static int cut(int (*cuts)(int, off_t), int fd, off_t length) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int result = cuts(fd, length), error = errno;
    if (!result && path_of(fd, path)) entry("T\t%lu\t%ld\n", inode_of(fd), (long)length);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) { return cut(REAL(ftruncate), fd, length); }
int ftruncate64(int fd, off_t length) { return cut(REAL(ftruncate64), fd, length); }

static int synced(int (*syncs)(int), int fd) {
    char path[PATH_MAX];
    struct stat found;
    pthread_mutex_lock(&lock);
    int is_known = path_of(fd, path);
    if (is_known && n_syncs_left > 0 && --n_syncs_left == 0) raise(SIGKILL);
    int result = syncs(fd), error = errno;
    if (!result && is_known && !fstat(fd, &found)) {
        if (S_ISDIR(found.st_mode)) entry("D\t%s\n", path);
        else entry("S\t%lu\n", found.st_ino);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd) { return synced(REAL(fsync), fd); }
int fdatasync(int fd) { return synced(REAL(fdatasync), fd); }
