//! The form of a conversation for models without a template.

use super::NeutralTurn;

/// What ends an answer in this form: the next question, which the model would make up.
pub(super) const STOPS: [&str; 2] = ["\nUser:", "\nAssistant:"];

/// Write the turns as [`super::Chat`] says.
pub(super) fn render(turns: &[NeutralTurn]) -> String {
    let mut text = String::new();
    for turn in turns {
        match turn.role {
            "user" => text.push_str("User: "),
            "assistant" => text.push_str("Assistant: "),
            _ => {}
        }
        text.push_str(&turn.content);
        text.push_str("\n\n");
    }
    text.push_str("Assistant:");
    text
}
