/* The part of C's library that the runtime uses; libc.c defines it. */
#ifndef SQZ_LIBC_MATH_H
#define SQZ_LIBC_MATH_H

float expf(float x);

#define sqrtf __builtin_sqrtf /* instructions */
#define fabsf __builtin_fabsf
#define INFINITY __builtin_inff()

#endif
