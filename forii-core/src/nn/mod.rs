//! The layers that models are made of: weights from a checkpoint, and a `forward` over packed rows
//! that calls the kernels. No layer knows a storage format, a cache policy or a model family.

pub mod attention;
pub mod embedding;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod rope;

pub use attention::Attention;
pub use embedding::Embedding;
pub use linear::Linear;
pub use mlp::Mlp;
pub use norm::RmsNorm;
pub use rope::RotaryEmbedding;
