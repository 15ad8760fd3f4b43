/* Saying that libvirt takes its time: a daemon that hangs looks like a command that hangs. */
#ifndef LIB_GUEST_WAIT_H
#define LIB_GUEST_WAIT_H

/*
 * fn is called, from a thread of its own, once for each call into libvirt by this thread that lasts longer than two
 * seconds. Call it before the first connection is opened; fn NULL: nobody is told.
 */
void guest_on_wait(void (*fn)(void *ctx), void *ctx);

/* Around each call into libvirt. */
void guest_wait_begin(void);
void guest_wait_end(void);

#endif
