//! Bytes at a chosen place of a page, so that chance does not decide which transport's copies are
//! slow (README.md, "Traps").

const PAGE: usize = 4096;

/// A buffer that grows and begins so many bytes after the start of a page.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    offset: usize,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(crate) fn at(offset: usize) -> Buffer {
        Buffer {
            bytes: Vec::new(),
            offset: offset % PAGE,
            start: 0,
            len: 0,
        }
    }

    /// For what is received.
    pub(crate) fn received() -> Buffer {
        Buffer::at(2048)
    }

    /// The first `len` bytes. What was in them is kept unless it has to grow.
    pub(crate) fn take(&mut self, len: usize) -> &mut [u8] {
        if self.start + len > self.bytes.len() {
            self.bytes = vec![0; len + PAGE];
            let address = self.bytes.as_ptr().addr();
            self.start = (self.offset + PAGE - address % PAGE) % PAGE;
        }
        self.len = len;
        self.all()
    }

    /// What was taken last.
    pub(crate) fn all(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_where_it_shall() {
        let mut buffer = Buffer::at(1024);
        for len in [1, 64, 5000, 100, 1 << 20] {
            let bytes = buffer.take(len);
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr().addr() % PAGE, 1024);
        }
    }
}
