//! Many questions at once, but not too many.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::ProgressBar;

use super::{ChatAnswer, ChatModel, ChatRequest};
use crate::{Error, Result};

/// Ask every question, at most `concurrency` at once; the answers are in the order of the questions,
/// and `progress` advances by one for each.
///
/// Equal questions are asked one after another in their order, so that a recording, which keeps
/// their answers in order, gives each the same one again. A failure ends no other question.
pub fn ask_all(
    model: &dyn ChatModel,
    requests: &[ChatRequest],
    concurrency: usize,
    progress: &ProgressBar,
) -> Vec<Result<ChatAnswer>> {
    let lanes = lanes(requests);
    let next = AtomicUsize::new(0);
    let slots: Vec<OnceLock<Result<ChatAnswer>>> =
        requests.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        while let Some(lane) = lanes.get(next.fetch_add(1, Ordering::Relaxed)) {
            for &at in lane {
                slots[at].get_or_init(|| model.ask(&requests[at]));
                progress.inc(1);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..concurrency.clamp(1, lanes.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let lost = || Error::input("a question", "an answer", "a thread that ended early", "ask again");
    slots.into_iter().map(|slot| slot.into_inner().unwrap_or_else(|| Err(lost()))).collect()
}

/// The questions as lanes of equal ones, by first occurrence.
fn lanes(requests: &[ChatRequest]) -> Vec<Vec<usize>> {
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    let mut lane_of: HashMap<String, usize> = HashMap::new();
    for (at, request) in requests.iter().enumerate() {
        let lane = *lane_of.entry(super::recording::canonical(request)).or_insert(lanes.len());
        match lanes.get_mut(lane) {
            Some(lane) => lane.push(at),
            None => lanes.push(vec![at]),
        }
    }
    lanes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::llm::{Message, Usage};

    #[derive(Default)]
    struct Counting {
        now: AtomicUsize,
        most: AtomicUsize,
        asked: Mutex<Vec<String>>,
    }

    impl ChatModel for Counting {
        fn destination(&self) -> Option<&str> {
            None
        }

        fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let question = &request.messages[0].content;
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(question.clone());
                asked.iter().filter(|other| *other == question).count()
            };
            // The first questions take longest, so that the order of answers is not that of questions.
            std::thread::sleep(Duration::from_millis(if question < &"q05".to_owned() {
                12
            } else {
                3
            }));
            self.now.fetch_sub(1, Ordering::SeqCst);
            if question == "q07" {
                return Err(Error::input("q07", "luck", "none", "try again"));
            }
            Ok(ChatAnswer {
                text: format!("{question} {number}"),
                reasoning: None,
                model: String::new(),
                usage: Usage::default(),
                sources: Vec::new(),
                notes: Vec::new(),
            })
        }
    }

    fn request(question: &str) -> ChatRequest {
        ChatRequest {
            model: "m".into(),
            messages: vec![Message::user(question)],
            schema: None,
            temperature: 0.0,
            top_p: 1.0,
            seed: None,
            max_tokens: None,
            stop: Vec::new(),
            web: false,
        }
    }

    #[test]
    fn order_limit_and_equal_questions_are_kept() {
        let model = Counting::default();
        let mut requests: Vec<_> = (0..20).map(|at| request(&format!("q{at:02}"))).collect();
        requests.extend([request("q03"), request("q12"), request("q03")]);
        let progress = ProgressBar::hidden();
        let answers = ask_all(&model, &requests, 4, &progress);
        assert_eq!(model.most.load(Ordering::SeqCst), 4);
        assert_eq!(progress.position(), 23);
        for (at, answer) in answers.iter().enumerate().take(20) {
            match answer {
                Ok(answer) => assert_eq!(answer.text, format!("q{at:02} 1")),
                Err(_) => assert_eq!(at, 7),
            }
        }
        let texts: Vec<_> =
            answers[20..].iter().map(|a| a.as_ref().unwrap().text.as_str()).collect();
        assert_eq!(texts, ["q03 2", "q12 2", "q03 3"]);
        assert!(ask_all(&model, &[], 4, &progress).is_empty());
    }
}
