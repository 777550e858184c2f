/* User Mode Linux 6.1 keeps 2,696 octets of a process's extended registers and hands them back as
   they are; a processor with more of them (AMX) refuses that. This stands between the two: what
   the guest's kernel knows is kept, the rest stays as it is. Loaded by LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

long ptrace(enum __ptrace_request request, ...)
{
    static long (*next)(enum __ptrace_request, ...);
    static char whole[65536];
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);
    if (!next)
        next = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");
    if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || (long)address != NT_X86_XSTATE)
        return next(request, pid, address, data);
    struct iovec *asked = data;
    struct iovec full = { whole, sizeof whole };
    long result = next(PTRACE_GETREGSET, pid, address, &full);
    if (result)
        return result;
    if (request == PTRACE_GETREGSET) {
        if (asked->iov_len > full.iov_len)
            asked->iov_len = full.iov_len;
        memcpy(asked->iov_base, whole, asked->iov_len);
        return 0;
    }
    memcpy(whole, asked->iov_base, asked->iov_len < full.iov_len ? asked->iov_len : full.iov_len);
    return next(PTRACE_SETREGSET, pid, address, &full);
}
