/* Included before each of pop3d's sources: their static variables stand together in two
 * sections, which fuzz_reset() puts back to what they were at the start of the process. */
#pragma clang section bss = "pop3d_bss" data = "pop3d_data"
