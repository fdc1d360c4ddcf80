/*
 * A disk that fails on demand, and that remembers: put between a program and its C
 * library by LD_PRELOAD, so that SQLite, polars and Python all meet it.
 *
 * Only what happens below one folder is looked at. Operations are counted: opening,
 * writing (and growing or shrinking), flushing, renaming (and linking, and making
 * folders), removing. The n-th one can kill the process, with or without half of its
 * write done, or fail with an error, once or from there on.
 *
 * A lasting ENOSPC is a full disk: what needs no space works, and what a removed file
 * held can be written again. When recording, every operation that succeeded is written
 * to a log, its bytes included.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENS = 1, WRITES = 2, FLUSHES = 4, RENAMES = 8, REMOVES = 16 };
enum { NO_FAULT, KILL, TORN, ONCE, LASTING };
enum { CREATED = 1, WRITTEN, SIZED, FLUSHED, RENAMED, LINKED, REMOVED, MADE, MARK };
enum { PASS = 0, FAIL = -1, HALF = 1 };
enum { NEVER_FULL = -1, SIZING = -2 };

#define MOST_FDS 65536
#define MOST_FILES 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static size_t folder_length;
static unsigned char watched[MOST_FDS];

static int fault, error_number, kinds, report_fd = -1, has_fired;
static long fails_at, n_seen, room;

static int log_fd = -1;
static struct { dev_t dev; ino_t ino; } files[MOST_FILES];
static int n_files;

/* -- set up by the program under test, through ctypes ------------------------------ */

void disk_watch(const char *path)
{
    snprintf(folder, sizeof folder, "%s", path);
    folder_length = strlen(folder);
    memset(watched, 0, sizeof watched);
}

void disk_arm(int which_fault, int which_error, int which_kinds, long n, int report)
{
    fault = which_fault;
    error_number = which_error;
    kinds = which_kinds;
    fails_at = n;
    report_fd = report;
    has_fired = 0;
    n_seen = room = 0;
}

int disk_has_fired(void) { return has_fired; }

long disk_seen(void) { return n_seen; }

void disk_record(int fd) { log_fd = fd; }

/* -- which operations are ours ----------------------------------------------------- */

static int is_below(const char *path)
{
    return folder_length && !strncmp(path, folder, folder_length) &&
           (path[folder_length] == '/' || !path[folder_length]);
}

static void path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
}

static int resolve(int dir_fd, const char *name, char *path)
{
    char base[PATH_MAX];
    if (!folder_length || !name)
        return 0;
    if (name[0] == '/')
        snprintf(path, PATH_MAX, "%s", name);
    else if (dir_fd != AT_FDCWD && (dir_fd < 0 || dir_fd >= MOST_FDS || !watched[dir_fd]))
        return 0;
    else {
        if (dir_fd == AT_FDCWD) {
            if (syscall(SYS_getcwd, base, sizeof base) < 0)
                return 0;
        } else
            path_of(dir_fd, base);
        if (strlen(base) + strlen(name) + 2 > PATH_MAX)
            return 0;
        strcpy(path, base);
        strcat(path, "/");
        strcat(path, name);
    }
    return is_below(path);
}

static int is_watched(int fd) { return fd >= 0 && fd < MOST_FDS && watched[fd]; }

/* -- faults ------------------------------------------------------------------------ */

static const char *word_for(int kind)
{
    return kind == OPENS ? "open" : kind == WRITES ? "write" : kind == FLUSHES ? "flush"
           : kind == RENAMES ? "rename" : "remove";
}

static void tell(int kind, const char *path)
{
    char line[PATH_MAX + 16];
    int length = snprintf(line, sizeof line, "%s %s\n", word_for(kind), path);
    if (report_fd >= 0)
        syscall(SYS_write, report_fd, line, (size_t)length);
}

static int failed(void)
{
    errno = error_number;
    return FAIL;
}

/* What an operation meets; *growth* are the bytes it would add, negative for none. */
static int meet(int kind, int fd, const char *path, long growth)
{
    char found[PATH_MAX];
    if (!fault || !(kinds & kind))
        return PASS;
    n_seen++;
    if (has_fired) {
        if (fault != LASTING)
            return PASS;
        if (error_number != ENOSPC)
            return failed();
        if (growth < 0 || growth <= room) {
            room -= growth > 0 ? growth : 0;
            return PASS;
        }
        return failed();
    }
    if (n_seen != fails_at)
        return PASS;
    if (fault == LASTING && error_number == ENOSPC && growth < 0) {
        fails_at++; /* a full disk does not show here; the next operation is tried */
        return PASS;
    }
    has_fired = 1;
    if (!path)
        path_of(fd, found);
    tell(kind, path ? path : found);
    if (fault == KILL || (fault == TORN && growth == SIZING))
        kill(getpid(), SIGKILL);
    errno = error_number;
    if (fault == TORN || (fault == LASTING && error_number == ENOSPC && growth > 1))
        return HALF;
    return failed();
}

static long growth_of(int fd, off_t offset, size_t length)
{
    struct stat now;
    if (fstat(fd, &now) || !S_ISREG(now.st_mode))
        return NEVER_FULL;
    off_t grown = offset + (off_t)length - now.st_size;
    return grown > 0 ? (long)grown : NEVER_FULL;
}

/* -- the log ----------------------------------------------------------------------- */

struct entry { uint32_t kind, file; uint64_t offset, length; uint32_t first, second; };

static void put(const void *bytes, size_t length)
{
    while (length) {
        long n = syscall(SYS_write, log_fd, bytes, length);
        if (n <= 0)
            kill(getpid(), SIGKILL); /* a log with a hole proves nothing */
        bytes = (const char *)bytes + n;
        length -= (size_t)n;
    }
}

static void note(int kind, int file, off_t offset, const void *data, size_t length,
                 const char *first, const char *second)
{
    struct entry entry = {(uint32_t)kind, (uint32_t)file, (uint64_t)offset, length,
                          first ? (uint32_t)strlen(first) : 0,
                          second ? (uint32_t)strlen(second) : 0};
    put(&entry, sizeof entry);
    put(first, entry.first);
    put(second, entry.second);
    if (data)
        put(data, length);
}

void disk_mark(const char *words)
{
    pthread_mutex_lock(&lock);
    if (log_fd >= 0)
        note(MARK, 0, 0, NULL, 0, words, NULL);
    pthread_mutex_unlock(&lock);
}

/* A number for the file behind a descriptor; a new one for a file just made. */
static int number_of(int fd, int is_new)
{
    struct stat now;
    if (fstat(fd, &now))
        return 0;
    for (int i = n_files; i > 0 && !is_new; i--)
        if (files[i].dev == now.st_dev && files[i].ino == now.st_ino)
            return i;
    if (n_files + 1 < MOST_FILES)
        n_files++;
    files[n_files].dev = now.st_dev;
    files[n_files].ino = now.st_ino;
    return n_files;
}

/* -- the functions of the C library ------------------------------------------------ */

static int open_at(int dir_fd, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat before;
    if (!resolve(dir_fd, name, path))
        return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && lstat(path, &before);
    int fd = -1;
    if (meet(OPENS, -1, path, is_new ? 1 : NEVER_FULL) == PASS)
        fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    int kept = errno;
    if (fd >= 0 && fd < MOST_FDS) {
        watched[fd] = 1;
        if (log_fd >= 0) {
            int number = number_of(fd, is_new);
            if (is_new)
                note(CREATED, number, 0, NULL, 0, path, NULL);
            else if (flags & O_TRUNC)
                note(SIZED, number, 0, NULL, 0, NULL, NULL);
        }
    }
    errno = kept;
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_of(int flags, va_list rest)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                              \
    int name(const char *path, int flags, ...)                                         \
    {                                                                                  \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = mode_of(flags, rest);                                            \
        va_end(rest);                                                                  \
        return open_at(AT_FDCWD, path, flags, mode);                                   \
    }
#define DEFINE_OPENAT(name)                                                            \
    int name(int dir_fd, const char *path, int flags, ...)                             \
    {                                                                                  \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = mode_of(flags, rest);                                            \
        va_end(rest);                                                                  \
        return open_at(dir_fd, path, flags, mode);                                     \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < MOST_FDS)
        watched[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

/* All ways to write; *offset* is -1 where the descriptor's own counts. */
static ssize_t write_at(int fd, const void *data, size_t length, off_t offset)
{
    if (!is_watched(fd))
        return offset < 0 ? syscall(SYS_write, fd, data, length)
                          : syscall(SYS_pwrite64, fd, data, length, offset);
    pthread_mutex_lock(&lock);
    off_t place = offset;
    if (offset < 0) {
        struct stat now;
        int is_end = fcntl(fd, F_GETFL) & O_APPEND;
        place = is_end && !fstat(fd, &now) ? now.st_size : lseek(fd, 0, SEEK_CUR);
    }
    int met = meet(WRITES, fd, NULL, growth_of(fd, place, length));
    ssize_t n = -1;
    if (met != FAIL) {
        size_t most = met == HALF ? length / 2 : length;
        n = offset < 0 ? syscall(SYS_write, fd, data, most)
                       : syscall(SYS_pwrite64, fd, data, most, offset);
    }
    int kept = errno;
    if (met == HALF && fault == TORN)
        kill(getpid(), SIGKILL);
    if (n > 0 && log_fd >= 0)
        note(WRITTEN, number_of(fd, 0), place, data, (size_t)n, NULL, NULL);
    errno = kept;
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t write(int fd, const void *data, size_t length)
{
    return write_at(fd, data, length, -1);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return write_at(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
    return write_at(fd, data, length, offset);
}

/* A watched vector is written piece by piece: each is an operation of its own. */
static ssize_t write_vector(int fd, const struct iovec *parts, int n, off_t offset)
{
    ssize_t total = 0;
    for (int i = 0; i < n; i++) {
        if (!parts[i].iov_len)
            continue;
        off_t place = offset < 0 ? -1 : offset + total;
        ssize_t wrote = write_at(fd, parts[i].iov_base, parts[i].iov_len, place);
        if (wrote < 0)
            return total ? total : -1;
        total += wrote;
        if ((size_t)wrote < parts[i].iov_len)
            break;
    }
    return total;
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    if (!is_watched(fd))
        return syscall(SYS_writev, fd, parts, n);
    return write_vector(fd, parts, n, -1);
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset)
{
    if (!is_watched(fd))
        return syscall(SYS_pwritev, fd, parts, n, offset, 0L);
    return write_vector(fd, parts, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int n, off_t offset)
{
    return pwritev(fd, parts, n, offset);
}

static int size_to(int fd, off_t size)
{
    if (!is_watched(fd))
        return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int result = -1;
    /* A longer size is a promise of space, not space: growing so always fits. */
    if (meet(WRITES, fd, NULL, SIZING) == PASS)
        result = (int)syscall(SYS_ftruncate, fd, size);
    int kept = errno;
    if (!result && log_fd >= 0)
        note(SIZED, number_of(fd, 0), size, NULL, 0, NULL, NULL);
    errno = kept;
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return size_to(fd, size); }
int ftruncate64(int fd, off_t size) { return size_to(fd, size); }

static int allocate(int fd, int mode, off_t offset, off_t length)
{
    if (!is_watched(fd))
        return (int)syscall(SYS_fallocate, fd, mode, offset, length);
    pthread_mutex_lock(&lock);
    int result = -1;
    /* Half an allocation is none. */
    int met = meet(WRITES, fd, NULL, growth_of(fd, offset, (size_t)length));
    if (met == HALF && fault == TORN)
        kill(getpid(), SIGKILL);
    if (met == PASS)
        result = (int)syscall(SYS_fallocate, fd, mode, offset, length);
    int kept = errno;
    struct stat now;
    if (!result && log_fd >= 0 && !fstat(fd, &now))
        note(SIZED, number_of(fd, 0), now.st_size, NULL, 0, NULL, NULL);
    errno = kept;
    pthread_mutex_unlock(&lock);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return allocate(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off_t offset, off_t length)
{
    return allocate(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return allocate(fd, 0, offset, length) ? errno : 0;
}

int posix_fallocate64(int fd, off_t offset, off_t length)
{
    return posix_fallocate(fd, offset, length);
}

static int flush(int fd, long call)
{
    char path[PATH_MAX];
    struct stat now;
    if (!is_watched(fd))
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (meet(FLUSHES, fd, NULL, NEVER_FULL) == PASS)
        result = (int)syscall(call, fd);
    int kept = errno;
    if (!result && log_fd >= 0 && !fstat(fd, &now)) {
        path_of(fd, path);
        note(FLUSHED, S_ISDIR(now.st_mode) ? 0 : number_of(fd, 0), 0, NULL, 0, path, NULL);
    }
    errno = kept;
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

/* What changes names: *second* is the new one, or NULL. */
static int name_at(int entry_kind, int from_fd, const char *from, int to_fd,
                   const char *to, int flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    int is_ours = resolve(from_fd, from, first);
    if (to)
        is_ours = resolve(to_fd, to, second) || is_ours;
    struct stat before;
    long held = 0;
    if (is_ours)
        pthread_mutex_lock(&lock);
    int result = -1, met = PASS;
    if (is_ours) {
        int kind = entry_kind == REMOVED ? REMOVES : RENAMES;
        long growth = entry_kind == MADE || entry_kind == LINKED ? 1 : NEVER_FULL;
        if (entry_kind == REMOVED && !lstat(first, &before) && S_ISREG(before.st_mode))
            held = (long)before.st_size;
        met = meet(kind, -1, to ? second : first, growth);
    }
    if (met == PASS) {
        if (entry_kind == RENAMED)
            result = (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
        else if (entry_kind == LINKED)
            result = (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
        else if (entry_kind == REMOVED)
            result = (int)syscall(SYS_unlinkat, from_fd, from, flags);
        else
            result = (int)syscall(SYS_mkdirat, from_fd, from, (mode_t)flags);
    }
    int kept = errno;
    if (is_ours) {
        if (!result && has_fired)
            room += held;
        if (!result && log_fd >= 0)
            note(entry_kind, 0, 0, NULL, 0, first, to ? second : NULL);
        pthread_mutex_unlock(&lock);
    }
    errno = kept;
    return result;
}

int rename(const char *from, const char *to)
{
    return name_at(RENAMED, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return name_at(RENAMED, from_fd, from, to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return name_at(RENAMED, from_fd, from, to_fd, to, (int)flags);
}

int link(const char *from, const char *to)
{
    return name_at(LINKED, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return name_at(LINKED, from_fd, from, to_fd, to, flags);
}

int unlink(const char *path) { return name_at(REMOVED, AT_FDCWD, path, 0, NULL, 0); }

int unlinkat(int dir_fd, const char *path, int flags)
{
    return name_at(REMOVED, dir_fd, path, 0, NULL, flags);
}

int rmdir(const char *path)
{
    return name_at(REMOVED, AT_FDCWD, path, 0, NULL, AT_REMOVEDIR);
}

int mkdir(const char *path, mode_t mode)
{
    return name_at(MADE, AT_FDCWD, path, 0, NULL, (int)mode);
}

int mkdirat(int dir_fd, const char *path, mode_t mode)
{
    return name_at(MADE, dir_fd, path, 0, NULL, (int)mode);
}
