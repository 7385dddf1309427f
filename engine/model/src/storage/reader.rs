//! Bytes read one after the other, never past their end.

/// Reads numbers and bytes one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    all: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub(crate) fn new(all: &'a [u8]) -> Self {
        Self { all, position: 0 }
    }

    /// The bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The bytes from a position to where it is now.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.all.get(start..self.position).unwrap_or_default()
    }

    /// The bytes that follow.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.all.get(self.position..).unwrap_or_default()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let rest = self.rest();
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or_else(|| format!("{count} bytes are expected here, but only {} follow", rest.len()))?;
        self.position += taken.len();
        Ok(taken)
    }

    /// The bytes of a number.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn number<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N as u64)?);
        Ok(number)
    }

    /// A byte.
    ///
    /// # Errors
    /// When none follows.
    pub(crate) fn u8(&mut self) -> Result<u8, String> {
        self.number::<1>().map(u8::from_le_bytes)
    }

    /// Two little-endian bytes.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn u16(&mut self) -> Result<u16, String> {
        self.number().map(u16::from_le_bytes)
    }

    /// Four little-endian bytes.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn u32(&mut self) -> Result<u32, String> {
        self.number().map(u32::from_le_bytes)
    }

    /// Eight little-endian bytes.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn u64(&mut self) -> Result<u64, String> {
        self.number().map(u64::from_le_bytes)
    }

    /// A signed number of four little-endian bytes.
    ///
    /// # Errors
    /// When fewer follow.
    pub(crate) fn i32(&mut self) -> Result<i32, String> {
        self.number().map(i32::from_le_bytes)
    }
}
