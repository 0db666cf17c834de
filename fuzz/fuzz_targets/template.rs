//! Chat templates of untrusted files: no source makes the compiler or a render panic, hang or take
//! memory without bound. The input up to the first NUL is the template, the rest is the conversation.
#![no_main]

use forii_core::chat::Message;
use forii_core::template::{ChatTemplate, TemplateInput, TemplateTokens};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let source = String::from_utf8_lossy(&data[..end]);
    let text = String::from_utf8_lossy(&data[end..]);
    let special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "</think>"];
    let tokens = TemplateTokens {
        bos_token: Some("<s>".to_owned()),
        eos_token: Some("</s>".to_owned()),
        special_tokens: special.map(str::to_owned).to_vec(),
    };
    let Ok(template) = ChatTemplate::compile(&source, tokens) else {
        return;
    };
    let messages = [
        Message::system(&*text),
        Message::user(&*text),
        Message::assistant(&*text),
        Message::user("<s>"),
    ];
    let input = TemplateInput {
        messages: &messages,
        tools: &[],
        documents: &[],
        add_generation_prompt: true,
        variables: &serde_json::Map::new(),
    };
    if let Ok(prompt) = template.render(&input) {
        let mut end = 0;
        for range in &prompt.literal {
            assert!(end <= range.start && range.start < range.end);
            assert!(prompt.text.get(range.clone()).is_some());
            end = range.end;
        }
    }
});
