//! Buffers that have been used before: their pages are there, and nothing has to be zeroed.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// Where buffers of a decoder return to. It never holds more than was in use at once.
#[derive(Default)]
pub(crate) struct Buffers(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    buffers: Vec<Vec<f32>>,
    /// Numbers in buffers that are out, in those that are here, and the most that were out at once.
    out: usize,
    here: usize,
    peak: usize,
}

/// Numbers on loan from [`Buffers`].
pub(crate) struct Buffer {
    numbers: Vec<f32>,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// Lend `length` numbers, whatever they are.
    pub(crate) fn take(self: &Arc<Self>, length: usize) -> Buffer {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A buffer of twice the size would be missed elsewhere.
        let fitting = shelf.buffers.iter().enumerate();
        let fitting = fitting.filter(|(_, buffer)| (length..=2 * length).contains(&buffer.len()));
        let numbers = match fitting.min_by_key(|(_, buffer)| buffer.len()).map(|(index, _)| index) {
            Some(index) => {
                let numbers = shelf.buffers.swap_remove(index);
                shelf.here -= numbers.len();
                numbers
            }
            None => vec![0.0; length],
        };
        shelf.out += numbers.len();
        shelf.peak = shelf.peak.max(shelf.out);
        Buffer { numbers, length, home: self.clone() }
    }

    /// Lend `length` zeros.
    pub(crate) fn zeros(self: &Arc<Self>, length: usize) -> Buffer {
        let mut buffer = self.take(length);
        buffer.fill(0.0);
        buffer
    }

    /// Lend a copy.
    pub(crate) fn copy(self: &Arc<Self>, numbers: &[f32]) -> Buffer {
        let mut buffer = self.take(numbers.len());
        buffer.copy_from_slice(numbers);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[..self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        let mut shelf = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.out -= numbers.len();
        if shelf.out + shelf.here + numbers.len() <= shelf.peak {
            shelf.here += numbers.len();
            shelf.buffers.push(numbers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_and_no_more_are_kept_than_were_out() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.take(8);
        first.fill(7.0);
        drop(first);
        assert_eq!(&*buffers.take(6), [7.0; 6], "the same one, cut");
        assert_eq!(&*buffers.zeros(8), [0.0; 8]);
        assert_eq!(&*buffers.take(3), [0.0; 3], "too small a wish for the one of 8");
        drop((buffers.take(8), buffers.take(8)));
        drop(buffers.take(100));
        let shelf = buffers.0.lock().unwrap();
        assert_eq!((shelf.out, shelf.peak), (0, 100));
        assert!(shelf.here <= shelf.peak);
        assert_eq!(shelf.here, shelf.buffers.iter().map(Vec::len).sum::<usize>());
    }
}
