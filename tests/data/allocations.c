/* Counts the allocations of a program that it is preloaded into, and writes their number to $ALLOCATIONS at the end. */
#include <stdio.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static long count;

void *malloc(size_t size) {
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    return __libc_realloc(old, size);
}

__attribute__((destructor)) static void report(void) {
    long all = __atomic_load_n(&count, __ATOMIC_RELAXED);
    FILE *file = fopen(getenv("ALLOCATIONS"), "w");
    if (file) {
        fprintf(file, "%ld", all);
        fclose(file);
    }
}
