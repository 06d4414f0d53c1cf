/* A clock that a file sets back by a day: loaded before the C library, by the case `clock_back` of the torture test. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    const char *set_back = getenv("CHAOS_CLOCK_BACK");
    if (result == 0 && clock == CLOCK_REALTIME && set_back && access(set_back, F_OK) == 0)
        now->tv_sec -= 24 * 60 * 60;
    return result;
}
