//! A Hugging Face folder: configuration, tokenizer and template files beside the weights.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::ModelConfig;
use super::config_json;
use super::json::Object;
use super::names::Family;
use super::safetensors::TensorFiles;
use super::{Checkpoint, TensorView, fixup, malformed};
use crate::error::LoadError;
use crate::tokenizer::{FolderTokenizer, Tokenizer};

/// A model in a Hugging Face folder.
#[derive(Debug)]
pub struct FolderCheckpoint {
    folder: PathBuf,
    family: &'static Family,
    config: ModelConfig,
    tensors: TensorFiles,
    chat_template: Option<String>,
}

impl FolderCheckpoint {
    /// Reads the configuration and maps the weights.
    ///
    /// # Errors
    /// [`LoadError`] where a file is absent, breaks its format, or holds what forii does not do.
    pub fn open(folder: &Path) -> Result<Self, LoadError> {
        let config_path = folder.join("config.json");
        let generation_path = folder.join("generation_config.json");
        let Some(config) = read_json(&config_path)? else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(LoadError::Io {
                path: config_path,
                source,
            });
        };
        let generation = read_json(&generation_path)?;
        let generation = generation
            .as_ref()
            .map(|value| Object::new(&generation_path, value))
            .transpose()?;
        let (family, config) = config_json::read(Object::new(&config_path, &config)?, generation)?;
        let tensors = TensorFiles::open(folder, family, config.num_hidden_layers)?;
        let chat_template = chat_template(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            family,
            config,
            tensors,
            chat_template,
        })
    }

    pub(super) fn tokenizer_files(&self) -> Result<FolderTokenizer, LoadError> {
        let path = self.folder.join("tokenizer.json");
        let tokenizer_json = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                let problem = "the folder has no tokenizer.json".to_string();
                return Err(LoadError::Tokenizer {
                    path: self.folder.clone(),
                    problem,
                });
            }
            Err(source) => return Err(LoadError::Io { path, source }),
        };
        let mut files = FolderTokenizer {
            tokenizer_json,
            ..FolderTokenizer::default()
        };
        // The older file first, so that tokenizer_config.json wins.
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = self.folder.join(name);
            let Some(value) = read_json(&path)? else { continue };
            let object = Object::new(&path, &value)?;
            for (key, token) in [
                ("bos_token", &mut files.bos_token),
                ("eos_token", &mut files.eos_token),
                ("unk_token", &mut files.unk_token),
                ("pad_token", &mut files.pad_token),
            ] {
                if let Some(value) = object.get(key) {
                    *token = Some(token_text(&object, key, value)?);
                }
            }
            files.add_bos_token = object.bool("add_bos_token")?.or(files.add_bos_token);
            files.add_eos_token = object.bool("add_eos_token")?.or(files.add_eos_token);
        }
        Ok(files)
    }
}

impl Checkpoint for FolderCheckpoint {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        Tokenizer::from_folder(&self.folder.join("tokenizer.json"), self.tokenizer_files()?)
    }

    fn chat_template(&self) -> Option<&str> {
        self.chat_template.as_deref()
    }

    fn has_tensor(&self, hf_name: &str) -> bool {
        self.tensors.find(hf_name).is_some()
    }

    fn tensor(&self, hf_name: &str) -> Result<TensorView<'_>, LoadError> {
        let Some(located) = self.tensors.find(hf_name) else {
            return Err(LoadError::MissingTensor {
                path: self.folder.clone(),
                tensor: hf_name.to_string(),
            });
        };
        let mut view = TensorView {
            name: hf_name.to_string(),
            format: located.format,
            shape: located.shape.clone(),
            data: Cow::Borrowed(self.tensors.data(located)),
        };
        if self.family.hf_norms_minus_one && hf_name.ends_with("norm.weight") {
            fixup::add_one(&mut view);
        }
        Ok(view)
    }

    fn release(&self, hf_name: &str) {
        if let Some(located) = self.tensors.find(hf_name) {
            self.tensors.release(located);
        }
    }
}

/// A JSON file, or `None` where there is none.
fn read_json(path: &Path) -> Result<Option<Value>, LoadError> {
    let Some(bytes) = read_optional(path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(malformed(path, "the file", format!("it is no JSON: {error}"))),
    }
}

fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Io {
            path: path.to_path_buf(),
            source,
        }),
    }
}

/// A token is its text, or an object with the text in `content`.
fn token_text(object: &Object<'_>, key: &str, value: &Value) -> Result<String, LoadError> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str());
    text.map(str::to_string)
        .ok_or_else(|| object.broken(key, "expected a token"))
}

/// chat_template.jinja, or `chat_template` in tokenizer_config.json: a template, or a list of named
/// ones of which "default" counts.
fn chat_template(folder: &Path) -> Result<Option<String>, LoadError> {
    let path = folder.join("chat_template.jinja");
    if let Some(bytes) = read_optional(&path)? {
        let text = String::from_utf8(bytes);
        return text
            .map(Some)
            .map_err(|_| malformed(&path, "the file", "it is not valid UTF-8"));
    }
    let path = folder.join("tokenizer_config.json");
    let Some(config) = read_json(&path)? else {
        return Ok(None);
    };
    let object = Object::new(&path, &config)?;
    let Some(template) = object.get("chat_template") else {
        return Ok(None);
    };
    let text = match template {
        Value::Array(list) => match list.iter().find(|named| named["name"] == "default") {
            Some(named) => &named["template"],
            None => return Ok(None),
        },
        one => one,
    };
    match text.as_str() {
        Some(text) => Ok(Some(text.to_string())),
        None => Err(object.broken(
            "chat_template",
            "expected a template or a list of named templates",
        )),
    }
}
