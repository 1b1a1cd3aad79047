//! Copying to and from memory that the peer may be writing at the same time.
//!
//! A reference, or `memcpy`, would promise the compiler that the bytes do not change. They may, so
//! that would be a data race, and undefined behaviour. These two functions do not promise it. On x86-64
//! they are a block of assembly, which the compiler cannot look into and which does what a sequence of
//! relaxed atomic accesses would do; elsewhere they are that sequence. The result may be a mixture of old
//! and new bytes if the peer misbehaves; it is only ever treated as data.

/// Copies `len` bytes from our own memory into shared memory.
///
/// # Safety
/// `src` is readable and `dst` writable for `len` bytes, the two do not overlap, and nothing but
/// this module and atomics ever touches the bytes at `dst`.
#[inline]
pub(super) unsafe fn copy_in(dst: *mut u8, src: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
    // SAFETY: by this function's own contract.
    unsafe {
        opaque::copy_in(dst, src, len);
    }
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    // SAFETY: by this function's own contract.
    unsafe {
        atomic::copy_in(dst, src, len);
    }
}

/// Copies `len` bytes from shared memory into our own.
///
/// # Safety
/// As [`copy_in`], with `src` and `dst` exchanged.
#[inline]
pub(super) unsafe fn copy_out(dst: *mut u8, src: *const u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
    // SAFETY: by this function's own contract.
    unsafe {
        opaque::copy(dst, src, len);
    }
    #[cfg(any(not(target_arch = "x86_64"), miri, twinring_portable_copy))]
    // SAFETY: by this function's own contract.
    unsafe {
        atomic::copy_out(dst, src, len);
    }
}

/// The opaque form, of moves that every x86-64 has, and of others for longer copies where the
/// processor has them.
#[cfg(all(target_arch = "x86_64", not(miri), not(twinring_portable_copy)))]
mod opaque {
    use core::arch::asm;

    /// From this length on, in bytes, the wide loop is worth the call.
    const WIDE: usize = 512;
    /// From this length on, in bytes, `rep movsb` is worth its start-up time.
    const REPEATED: usize = 2048;

    /// Into shared memory: the peer has read what was there, so its processor has the cache lines.
    /// `rep movsb` writes whole lines without fetching them first, which a loop of stores does not: three
    /// times as fast between distant processors. For our own memory, which is read next, it gains
    /// nothing. Its stores may be seen in any order, but all of them before a later store, such as that of
    /// the ring's `tail` (Intel's manual, volume 3, "Fast-String Operation and Out-of-Order Stores").
    ///
    /// # Safety
    /// As [`copy`].
    #[inline]
    pub(super) unsafe fn copy_in(dst: *mut u8, src: *const u8, len: usize) {
        // SAFETY: by this function's own contract.
        unsafe {
            if len >= REPEATED && is_x86_feature_detected!("ermsb") && !are_close(dst, src) {
                repeated(dst, src, len);
            } else {
                copy(dst, src, len);
            }
        }
    }

    /// Whether `dst` is a few bytes after `src` modulo 4096, which makes `rep movsb` 17 times slower
    /// on some processors.
    #[inline]
    fn are_close(dst: *mut u8, src: *const u8) -> bool {
        dst.addr().wrapping_sub(src.addr()) % 4096 < 64
    }

    /// # Safety
    /// As [`copy`].
    #[inline]
    unsafe fn repeated(dst: *mut u8, src: *const u8, len: usize) {
        // SAFETY: reads and writes `len` bytes, upwards, as the direction flag is clear on entry to
        // each block of assembly; the stack is not touched and the flags are not changed.
        unsafe {
            asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rsi") src => _,
                inout("rdi") dst => _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// A rest shorter than a step is copied by a step that overlaps the one before: bytes in the middle
    /// are then copied twice, which makes no difference for data that may change anyway.
    ///
    /// # Safety
    /// `src` is readable and `dst` writable for `len` bytes, and the two do not overlap.
    #[inline]
    pub(super) unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) {
        // SAFETY: each step is within `len` bytes: it begins at 0 or ends at `len`, and is not
        // longer than what `len` was compared with.
        unsafe {
            if len >= WIDE && is_x86_feature_detected!("avx2") {
                wide(dst, src, len);
            } else if len >= 64 {
                let last = len - 64;
                let mut at = 0;
                while at < last {
                    step_64(dst.add(at), src.add(at));
                    at += 64;
                }
                step_64(dst.add(last), src.add(last));
            } else if len >= 32 {
                step_32(dst, src);
                step_32(dst.add(len - 32), src.add(len - 32));
            } else if len >= 16 {
                step_16(dst, src);
                step_16(dst.add(len - 16), src.add(len - 16));
            } else if len >= 8 {
                step_8(dst, src);
                step_8(dst.add(len - 8), src.add(len - 8));
            } else if len >= 4 {
                step_4(dst, src);
                step_4(dst.add(len - 4), src.add(len - 4));
            } else {
                for at in 0..len {
                    step_1(dst.add(at), src.add(at));
                }
            }
        }
    }

    /// Makes a function that copies a fixed number of bytes; its requirements are those of [`copy`].
    macro_rules! step {
        ($name:ident, $class:ident, $($load:literal, $store:literal),+) => {
            #[inline(always)]
            unsafe fn $name(dst: *mut u8, src: *const u8) {
                // SAFETY: reads and writes as many bytes as the name says, as the caller allows;
                // the stack is not touched and the flags are not changed.
                unsafe {
                    asm!(
                        $($load, $store,)+
                        s = in(reg) src,
                        d = in(reg) dst,
                        t = out($class) _,
                        options(nostack, preserves_flags),
                    );
                }
            }
        };
    }
    step!(
        step_1,
        reg_byte,
        "mov {t}, byte ptr [{s}]",
        "mov byte ptr [{d}], {t}"
    );
    step!(
        step_4,
        reg,
        "mov {t:e}, dword ptr [{s}]",
        "mov dword ptr [{d}], {t:e}"
    );
    step!(
        step_8,
        reg,
        "mov {t}, qword ptr [{s}]",
        "mov qword ptr [{d}], {t}"
    );
    step!(step_16, xmm_reg, "movups {t}, [{s}]", "movups [{d}], {t}");
    step!(
        step_32,
        xmm_reg,
        "movups {t}, [{s}]",
        "movups [{d}], {t}",
        "movups {t}, [{s} + 16]",
        "movups [{d} + 16], {t}"
    );
    step!(
        step_64,
        xmm_reg,
        "movups {t}, [{s}]",
        "movups [{d}], {t}",
        "movups {t}, [{s} + 16]",
        "movups [{d} + 16], {t}",
        "movups {t}, [{s} + 32]",
        "movups [{d} + 32], {t}",
        "movups {t}, [{s} + 48]",
        "movups [{d} + 48], {t}"
    );

    /// 128 bytes at a time, the stores aligned.
    ///
    /// # Safety
    /// As [`copy`], and `len` is at least 160.
    #[target_feature(enable = "avx2")]
    unsafe fn wide(dst: *mut u8, src: *const u8, len: usize) {
        // Bytes to the next aligned address: 1 to 32, which the first step covers.
        let first = 32 - dst.addr() % 32;
        let steps = (len - first) / 128;
        // SAFETY: the first step takes bytes 0..32; the loop, `steps` times 128 bytes from `first`
        // on; the last four steps, the 128 bytes that end at `len`. All are within `len` bytes.
        // The changed registers are declared, all sixteen because of `vzeroupper`; the flags are by
        // default, and the stack is not touched.
        unsafe {
            step_32(dst, src);
            asm!(
                "2:",
                "vmovdqu ymm0, [{s}]",
                "vmovdqu ymm1, [{s} + 32]",
                "vmovdqu ymm2, [{s} + 64]",
                "vmovdqu ymm3, [{s} + 96]",
                "vmovdqa [{d}], ymm0",
                "vmovdqa [{d} + 32], ymm1",
                "vmovdqa [{d} + 64], ymm2",
                "vmovdqa [{d} + 96], ymm3",
                "add {s}, 128",
                "add {d}, 128",
                "dec {n}",
                "jnz 2b",
                "vzeroupper",
                n = inout(reg) steps => _,
                s = inout(reg) src.add(first) => _,
                d = inout(reg) dst.add(first) => _,
                out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nostack),
            );
            step_64(dst.add(len - 128), src.add(len - 128));
            step_64(dst.add(len - 64), src.add(len - 64));
        }
    }
}

/// The portable form: relaxed atomic words, then bytes. Also what Miri and, by
/// `--cfg twinring_portable_copy`, the sanitizers see: they cannot look into assembly either.
#[cfg(any(test, not(target_arch = "x86_64"), miri, twinring_portable_copy))]
mod atomic {
    use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

    /// Bytes before `shared` is aligned to a word, and whole words after them, of `len` bytes.
    fn parts(shared: *const u8, len: usize) -> (usize, usize) {
        let before = shared.align_offset(8).min(len);
        (before, (len - before) / 8)
    }

    /// # Safety
    /// As [`super::copy_in`].
    pub(super) unsafe fn copy_in(dst: *mut u8, src: *const u8, len: usize) {
        let (before, words) = parts(dst, len);
        let after = before + words * 8;
        for i in (0..before).chain(after..len) {
            // SAFETY: within `len`.
            unsafe { AtomicU8::from_ptr(dst.add(i)).store(src.add(i).read(), Relaxed) };
        }
        for i in (before..after).step_by(8) {
            // SAFETY: within `len`; `dst` is aligned to 8 here and shared as the caller says, `src`
            // is ours and may have any alignment.
            unsafe {
                let word = src.add(i).cast::<u64>().read_unaligned();
                AtomicU64::from_ptr(dst.add(i).cast()).store(word, Relaxed);
            }
        }
    }

    /// # Safety
    /// As [`super::copy_out`].
    pub(super) unsafe fn copy_out(dst: *mut u8, src: *const u8, len: usize) {
        let (before, words) = parts(src, len);
        let after = before + words * 8;
        let src = src.cast_mut();
        for i in (0..before).chain(after..len) {
            // SAFETY: within `len`.
            unsafe {
                dst.add(i)
                    .write(AtomicU8::from_ptr(src.add(i)).load(Relaxed))
            };
        }
        for i in (before..after).step_by(8) {
            // SAFETY: within `len`; `src` is aligned to 8 here and shared as the caller says, `dst`
            // is ours and may have any alignment.
            unsafe {
                let word = AtomicU64::from_ptr(src.add(i).cast()).load(Relaxed);
                dst.add(i).cast::<u64>().write_unaligned(word);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// The signature of all our copy functions.
    type Copier = unsafe fn(*mut u8, *const u8, usize);

    #[test]
    fn every_length_and_nothing_beyond() {
        let copiers: [Copier; 4] = [
            super::copy_in,
            super::copy_out,
            super::atomic::copy_in,
            super::atomic::copy_out,
        ];
        const LEN: usize = 2300;
        let from: Vec<u8> = (0..LEN + 64usize)
            .map(|i| ((i * 7) ^ (i >> 3)) as u8)
            .collect();
        let mut to = vec![0xEEu8; LEN + 4096 + 64];
        for copy in copiers {
            let mut check = |len: usize, s: usize, d: usize| {
                // SAFETY: both buffers are longer than the offset and `len`, and ours alone.
                unsafe { copy(to.as_mut_ptr().add(d), from.as_ptr().add(s), len) };
                assert_eq!(to[d..d + len], from[s..s + len]);
                let around = to[..d].iter().chain(&to[d + len..]);
                assert!(around.copied().all(|b| b == 0xEE), "wrote beyond {len}");
                to[d..d + len].fill(0xEE);
            };
            for len in 0..=LEN {
                // Where source and destination begin, differently against each other.
                check(len, len % 37, len * 11 % 41);
            }
            // At any place within a page, some of them close together.
            for d in (0..4096).step_by(31) {
                check(LEN - d % 64, d % 37, d);
            }
        }
    }
}
