//! Numbers as a file stores them, and their conversion to the types of this crate.

/// The kinds of stored number that single-cell files use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
}

/// A stored number: its kind and byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) kind: NumberKind,
    pub(super) big_endian: bool,
}

impl Number {
    /// Bytes of one number.
    pub(super) fn size(self) -> usize {
        match self.kind {
            NumberKind::U8 | NumberKind::I8 => 1,
            NumberKind::U16 | NumberKind::I16 | NumberKind::F16 => 2,
            NumberKind::U32 | NumberKind::I32 | NumberKind::F32 => 4,
            NumberKind::U64 | NumberKind::I64 | NumberKind::F64 => 8,
        }
    }

    /// Whether the numbers are whole by their type.
    pub(super) fn is_integer(self) -> bool {
        !matches!(self.kind, NumberKind::F16 | NumberKind::F32 | NumberKind::F64)
    }
}

/// A type that stored numbers convert to. Values outside its range saturate, so that a position
/// too large for it can never turn into a valid one.
pub(super) trait FromNumber: Copy + Send + Sync + Default {
    /// Convert a floating-point number.
    fn from_float(value: f64) -> Self;
    /// Convert a signed whole number.
    fn from_signed(value: i64) -> Self;
    /// Convert an unsigned whole number.
    fn from_unsigned(value: u64) -> Self;
}

impl FromNumber for f32 {
    fn from_float(value: f64) -> Self {
        value as f32
    }
    fn from_signed(value: i64) -> Self {
        value as f32
    }
    fn from_unsigned(value: u64) -> Self {
        value as f32
    }
}

impl FromNumber for f64 {
    fn from_float(value: f64) -> Self {
        value
    }
    fn from_signed(value: i64) -> Self {
        value as f64
    }
    fn from_unsigned(value: u64) -> Self {
        value as f64
    }
}

impl FromNumber for i64 {
    fn from_float(value: f64) -> Self {
        value as i64
    }
    fn from_signed(value: i64) -> Self {
        value
    }
    fn from_unsigned(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

impl FromNumber for u32 {
    fn from_float(value: f64) -> Self {
        if value < 0.0 { Self::MAX } else { value as u32 }
    }
    fn from_signed(value: i64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
    fn from_unsigned(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

impl FromNumber for usize {
    fn from_float(value: f64) -> Self {
        if value < 0.0 { Self::MAX } else { value as usize }
    }
    fn from_signed(value: i64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
    fn from_unsigned(value: u64) -> Self {
        Self::try_from(value).unwrap_or(Self::MAX)
    }
}

/// Convert stored numbers: as many as both `bytes` and `out` hold.
pub(super) fn convert_numbers<T: FromNumber>(number: Number, bytes: &[u8], out: &mut [T]) {
    macro_rules! each {
        ($width:literal, $stored:ty, $convert:expr) => {{
            let (pieces, _) = bytes.as_chunks::<$width>();
            if number.big_endian {
                for (to, from) in out.iter_mut().zip(pieces) {
                    *to = $convert(<$stored>::from_be_bytes(*from));
                }
            } else {
                for (to, from) in out.iter_mut().zip(pieces) {
                    *to = $convert(<$stored>::from_le_bytes(*from));
                }
            }
        }};
    }
    match number.kind {
        NumberKind::U8 => each!(1, u8, |value| T::from_unsigned(u64::from(value))),
        NumberKind::U16 => each!(2, u16, |value| T::from_unsigned(u64::from(value))),
        NumberKind::U32 => each!(4, u32, |value| T::from_unsigned(u64::from(value))),
        NumberKind::U64 => each!(8, u64, T::from_unsigned),
        NumberKind::I8 => each!(1, i8, |value| T::from_signed(i64::from(value))),
        NumberKind::I16 => each!(2, i16, |value| T::from_signed(i64::from(value))),
        NumberKind::I32 => each!(4, i32, |value| T::from_signed(i64::from(value))),
        NumberKind::I64 => each!(8, i64, T::from_signed),
        NumberKind::F16 => {
            each!(2, u16, |value| T::from_float(half_to_float(value)))
        }
        NumberKind::F32 => each!(4, f32, |value: f32| T::from_float(f64::from(value))),
        NumberKind::F64 => each!(8, f64, T::from_float),
    }
}

/// IEEE 754 binary16 to binary64.
fn half_to_float(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    match exponent {
        0 => sign * fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => sign * f64::INFINITY,
        31 => f64::NAN,
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromNumber>(kind: NumberKind, big_endian: bool, bytes: &[u8]) -> Vec<T> {
        let number = Number { kind, big_endian };
        let mut out = vec![T::default(); bytes.len() / number.size()];
        convert_numbers(number, bytes, &mut out);
        out
    }

    #[test]
    fn byte_orders_and_widths_convert() {
        assert_eq!(read::<f32>(NumberKind::I16, true, &[0xff, 0xfe, 0, 7]), [-2.0, 7.0]);
        assert_eq!(read::<f32>(NumberKind::F16, false, &[0x00, 0x3c, 0x00, 0xc1]), [1.0, -2.5]);
        assert_eq!(read::<f64>(NumberKind::F64, false, &1.5f64.to_le_bytes()), [1.5]);
    }

    #[test]
    fn a_position_out_of_range_never_becomes_valid() {
        let far = (u64::from(u32::MAX) + 5).to_le_bytes();
        assert_eq!(read::<u32>(NumberKind::U64, false, &far), [u32::MAX]);
        assert_eq!(read::<u32>(NumberKind::I32, false, &(-1i32).to_le_bytes()), [u32::MAX]);
        assert_eq!(read::<usize>(NumberKind::I64, false, &(-1i64).to_le_bytes()), [usize::MAX]);
    }
}
