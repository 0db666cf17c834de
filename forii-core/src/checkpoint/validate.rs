//! What no model can have, whichever file its configuration came from.

use std::path::Path;

use super::config::{LayerType, ModelConfig, RopeScaling};
use super::malformed;
use crate::error::LoadError;

/// Bounds far above any model, so that sizes computed from them cannot overflow.
pub(super) const MAX_LAYERS: usize = 10_000;
const MAX_VOCAB: usize = 1 << 24;
const MAX_WIDTH: usize = 1 << 24;
const MAX_HEADS: usize = 1 << 16;
const MAX_POSITIONS: usize = 1 << 30;

impl ModelConfig {
    /// Refuses what no model can have, whichever file it came from. `spell` turns a field's Hugging
    /// Face name into the file's own.
    pub(super) fn validate(&self, path: &Path, spell: impl Fn(&str) -> String) -> Result<(), LoadError> {
        let broken =
            |field: &str, problem: String| malformed(path, format!("the key '{}'", spell(field)), problem);
        for (field, value, max) in [
            ("vocab_size", self.vocab_size, MAX_VOCAB),
            ("hidden_size", self.hidden_size, MAX_WIDTH),
            ("intermediate_size", self.intermediate_size, MAX_WIDTH),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", self.num_attention_heads, MAX_HEADS),
            ("num_key_value_heads", self.num_key_value_heads, MAX_HEADS),
            ("head_dim", self.head_dim, MAX_HEADS),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                MAX_POSITIONS,
            ),
            ("sliding_window", self.sliding_window.unwrap_or(1), MAX_POSITIONS),
        ] {
            if value == 0 || value > max {
                return Err(broken(field, format!("{value} is not between 1 and {max}")));
            }
        }
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(kv_heads) {
            let problem = format!("{heads} query heads do not divide among {kv_heads} key heads");
            return Err(broken("num_key_value_heads", problem));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(broken(
                "head_dim",
                format!("{} is odd, so it cannot be rotated", self.head_dim),
            ));
        }
        if heads * self.head_dim > MAX_WIDTH {
            return Err(broken(
                "head_dim",
                format!("{heads} heads of {} are too wide", self.head_dim),
            ));
        }
        if !(0.0..1.0).contains(&self.rms_norm_eps) {
            return Err(broken(
                "rms_norm_eps",
                format!("{} is not between 0 and 1", self.rms_norm_eps),
            ));
        }
        for (field, value) in [
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("final_logit_softcapping", self.final_logit_softcapping),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
                return Err(broken(field, format!("{value} is not a positive number")));
            }
        }
        self.validate_layers(&broken)?;
        self.validate_rope(&broken)?;
        let ids = self.bos_token_id.iter().map(|id| ("bos_token_id", id));
        for (field, id) in ids.chain(self.eos_token_ids.iter().map(|id| ("eos_token_id", id))) {
            if *id as usize >= self.vocab_size {
                return Err(broken(
                    field,
                    format!("{id} is not among the {} tokens", self.vocab_size),
                ));
            }
        }
        Ok(())
    }

    fn validate_layers(&self, broken: &impl Fn(&str, String) -> LoadError) -> Result<(), LoadError> {
        if self.layer_types.len() != self.num_hidden_layers {
            let (found, layers) = (self.layer_types.len(), self.num_hidden_layers);
            return Err(broken(
                "layer_types",
                format!("{found} entries for {layers} layers"),
            ));
        }
        if self.layer_types.contains(&LayerType::Sliding) && self.sliding_window.is_none() {
            let problem = "absent, but a layer has a sliding window".to_string();
            return Err(broken("sliding_window", problem));
        }
        Ok(())
    }

    fn validate_rope(&self, broken: &impl Fn(&str, String) -> LoadError) -> Result<(), LoadError> {
        let positive = |field: &str, name: &str, value: f64| {
            if value.is_finite() && value > 0.0 {
                return Ok(());
            }
            Err(broken(
                field,
                format!("the {name} {value} is not a positive number"),
            ))
        };
        positive("rope_theta", "base", self.rope.theta)?;
        positive(
            "rope_local_base_freq",
            "base",
            self.rope_local_theta.unwrap_or(1.0),
        )?;
        let scaling = |name: &str, value: f64| positive("rope_scaling", name, value);
        let factors = |name: &str, factors: &mut dyn Iterator<Item = f64>| {
            let mut count = 0;
            for factor in factors {
                scaling(name, factor)?;
                count += 1;
            }
            if count != self.head_dim / 2 {
                let problem = format!(
                    "{count} entries in {name}, not head_dim / 2 = {}",
                    self.head_dim / 2
                );
                return Err(broken("rope_scaling", problem));
            }
            Ok(())
        };
        match &self.rope.scaling {
            RopeScaling::None => Ok(()),
            RopeScaling::Linear { factor } => scaling("factor", *factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                scaling("factor", *factor)?;
                scaling("low_freq_factor", *low_freq_factor)?;
                scaling("high_freq_factor", *high_freq_factor)?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )?;
                scaling(
                    "distance from low_freq_factor to high_freq_factor",
                    high_freq_factor - low_freq_factor,
                )
            }
            RopeScaling::Yarn {
                factor,
                attention_factor,
                beta_fast,
                beta_slow,
                mscale: _,
                mscale_all_dim: _,
                original_max_position_embeddings,
                truncate: _,
            } => {
                scaling("factor", *factor)?;
                scaling("attention_factor", attention_factor.unwrap_or(1.0))?;
                scaling("beta_fast", *beta_fast)?;
                scaling("beta_slow", *beta_slow)?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )
            }
            RopeScaling::LongRope {
                short_factor,
                long_factor,
                attention_factor,
                factor,
                original_max_position_embeddings,
            } => {
                factors("short_factor", &mut short_factor.iter().copied())?;
                factors("long_factor", &mut long_factor.iter().copied())?;
                scaling("attention_factor", attention_factor.unwrap_or(1.0))?;
                scaling("factor", factor.unwrap_or(1.0))?;
                scaling(
                    "original_max_position_embeddings",
                    *original_max_position_embeddings as f64,
                )
            }
            RopeScaling::Factors { factors: list } => {
                factors("rope_freqs", &mut list.iter().map(|factor| f64::from(*factor)))
            }
        }
    }
}
