//! Elements of a 128-bit lane.

/// An integer that a lane consists of.
pub trait Element: Copy + 'static {
    /// How many there are in a lane.
    const COUNT: usize;
    /// Element `n` of a lane.
    fn get(lane: &[u8; 16], n: usize) -> Self;
    /// Replaces element `n` of a lane.
    fn set(self, lane: &mut [u8; 16], n: usize);
}

macro_rules! element {
    ($($type:ident)*) => {$(
        impl Element for $type {
            const COUNT: usize = 16 / size_of::<$type>();
            #[inline(always)]
            fn get(lane: &[u8; 16], n: usize) -> Self {
                const SIZE: usize = size_of::<$type>();
                let mut bytes = [0; SIZE];
                bytes.copy_from_slice(&lane[n * SIZE..n * SIZE + SIZE]);
                Self::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn set(self, lane: &mut [u8; 16], n: usize) {
                const SIZE: usize = size_of::<$type>();
                lane[n * SIZE..n * SIZE + SIZE].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element!(u8 i8 u16 i16 u32 i32 u64 i64 u128);

/// Element `n` of a lane; `n` is taken modulo their number.
#[inline(always)]
pub fn get<T: Element>(lane: u128, n: usize) -> T {
    T::get(&lane.to_le_bytes(), n & (T::COUNT - 1))
}

/// A lane of elements by their number.
#[inline(always)]
pub fn from_fn<T: Element>(f: impl Fn(usize) -> T) -> u128 {
    let mut out = [0; 16];
    for n in 0..T::COUNT {
        f(n).set(&mut out, n);
    }
    u128::from_le_bytes(out)
}

/// Each element of `b` by itself.
#[inline(always)]
pub fn map<T: Element>(b: u128, f: impl Fn(T) -> T) -> u128 {
    let b = b.to_le_bytes();
    from_fn(|n| f(T::get(&b, n)))
}

/// Elements of `a` and `b` in pairs.
#[inline(always)]
pub fn zip<T: Element>(a: u128, b: u128, f: impl Fn(T, T) -> T) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    from_fn(|n| f(T::get(&a, n), T::get(&b, n)))
}

/// Elements of one kind of `a` and of another kind, as wide, of `b` in pairs.
#[inline(always)]
pub fn zip_with<T: Element, U: Element, V: Element>(a: u128, b: u128, f: impl Fn(T, U) -> V) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    from_fn(|n| f(T::get(&a, n), U::get(&b, n)))
}

/// Neighbouring elements of `a`, then of `b`.
#[inline(always)]
pub fn pairs<T: Element>(a: u128, b: u128, f: impl Fn(T, T) -> T) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    from_fn(|n| {
        let half = T::COUNT / 2;
        let from = if n < half { &a } else { &b };
        f(T::get(from, 2 * (n % half)), T::get(from, 2 * (n % half) + 1))
    })
}

/// The low halves of `a` and `b`, element by element in turn.
#[inline(always)]
pub fn interleave_low<T: Element>(a: u128, b: u128) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    from_fn(|n| T::get(if n & 1 == 0 { &a } else { &b }, n / 2))
}

/// The high halves of `a` and `b`, element by element in turn.
#[inline(always)]
pub fn interleave_high<T: Element>(a: u128, b: u128) -> u128 {
    let (a, b) = (a.to_le_bytes(), b.to_le_bytes());
    from_fn(|n| T::get(if n & 1 == 0 { &a } else { &b }, T::COUNT / 2 + n / 2))
}
