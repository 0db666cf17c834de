//! What may come next: masks over the vocabulary.

mod mask;

pub use mask::TokenMask;
