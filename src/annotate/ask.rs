//! Clusters named by language models: questions, answers, second tries for what is missing, votes.

use indicatif::ProgressBar;

use super::ClusterMarkers;
use super::parse::{ParsedAnswer, parse_answers};
use super::prompt::{Prompt, Question};
use super::record::{Answer, ClusterAnnotation, UNKNOWN};
use super::vote::{normal_form, vote};
use crate::Result;
use crate::llm::{ChatModel, ChatRequest, Role, Source, Usage, ask_all};

/// How often clusters without an answer are asked about again, one by one.
const SECOND_TRIES: usize = 2;

/// What is asked, and how.
#[derive(Debug, Clone)]
pub struct Questions {
    /// The clusters.
    pub clusters: Vec<ClusterMarkers>,
    /// The template.
    pub prompt: Prompt,
    /// Tissue; may be empty.
    pub tissue: String,
    /// Markers shown of each cluster.
    pub n_markers: usize,
    /// Models, as the provider names them.
    pub models: Vec<String>,
    /// Times that each question is asked, with seeds that follow one another.
    pub repeats: usize,
    /// Randomness of the answers.
    pub temperature: f64,
    /// Seed of the first time.
    pub seed: u64,
    /// Tokens of an answer at most; unless said, as the provider has it.
    pub max_tokens: Option<u32>,
    /// Whether the web may be searched.
    pub web: bool,
    /// Questions at once.
    pub concurrency: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The clusters, named.
    pub clusters: Vec<ClusterAnnotation>,
    /// Tokens read and written.
    pub usage: Usage,
    /// What went otherwise than asked.
    pub notes: Vec<String>,
}

/// Answers of one cluster.
#[derive(Debug, Clone, Default)]
struct Told {
    parsed: Vec<ParsedAnswer>,
    answers: Vec<Answer>,
    sources: Vec<Source>,
}

impl Questions {
    /// Every question that is asked at first, for each model and each time.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.rounds().into_iter().map(|(_, request)| request).collect()
    }

    fn rounds(&self) -> Vec<(Question, ChatRequest)> {
        let all: Vec<usize> = (0..self.clusters.len()).collect();
        let questions = self.prompt.questions(&self.clusters, &all, &self.tissue, self.n_markers);
        let of_model = |model: &String| {
            (0..self.repeats as u64)
                .flat_map(|time| {
                    let request = |one: &Question| (one.clone(), self.request(one, model, time));
                    questions.iter().map(request).collect::<Vec<_>>()
                })
                .collect::<Vec<_>>()
        };
        self.models.iter().flat_map(of_model).collect()
    }

    fn request(&self, question: &Question, model: &str, time: u64) -> ChatRequest {
        ChatRequest {
            model: model.to_owned(),
            messages: question.messages.clone(),
            schema: question.schema.clone(),
            temperature: self.temperature,
            top_p: 1.0,
            seed: Some(self.seed + time),
            max_tokens: self.max_tokens,
            stop: Vec::new(),
            web: self.web,
        }
    }
}

/// Ask `model` everything, and take the votes.
///
/// # Errors
/// Those of the provider: answers that came before are in the recording, where there is one.
pub fn ask(model: &dyn ChatModel, asked: &Questions, progress: &ProgressBar) -> Result<Asked> {
    let rounds = asked.rounds();
    progress.set_length(rounds.len() as u64);
    let mut told = vec![Told::default(); asked.clusters.len()];
    let mut out = Asked::default();
    let mut missing = take(model, asked, rounds, progress, &mut told, &mut out)?;
    for _ in 0..SECOND_TRIES {
        let again: Vec<(Question, ChatRequest)> = missing
            .iter()
            .flat_map(|(place, request)| {
                let alone = asked.prompt.questions(
                    &asked.clusters,
                    &[*place],
                    &asked.tissue,
                    asked.n_markers,
                );
                alone.into_iter().map(|one| {
                    let request = ChatRequest {
                        messages: one.messages.clone(),
                        schema: one.schema.clone(),
                        ..request.clone()
                    };
                    (one, request)
                })
            })
            .collect();
        if again.is_empty() {
            break;
        }
        progress.inc_length(again.len() as u64);
        missing = take(model, asked, again, progress, &mut told, &mut out)?;
    }
    if !missing.is_empty() {
        let names: Vec<&str> =
            missing.iter().map(|(place, _)| asked.clusters[*place].cluster.as_str()).collect();
        out.notes.push(format!("no answer could be read for {}", names.join(", ")));
    }
    let prompts = first_prompts(asked);
    let named = asked.clusters.iter().zip(told).zip(prompts);
    out.clusters =
        named.map(|((cluster, told), prompt)| annotation(cluster, told, prompt, asked)).collect();
    out.notes.sort();
    out.notes.dedup();
    Ok(out)
}

/// Ask, read, and keep; the clusters that a question left without an answer.
fn take(
    model: &dyn ChatModel,
    asked: &Questions,
    rounds: Vec<(Question, ChatRequest)>,
    progress: &ProgressBar,
    told: &mut [Told],
    out: &mut Asked,
) -> Result<Vec<(usize, ChatRequest)>> {
    let (questions, requests): (Vec<Question>, Vec<ChatRequest>) = rounds.into_iter().unzip();
    let answers = ask_all(model, &requests, asked.concurrency, progress);
    let mut missing = Vec::new();
    for ((question, request), answer) in questions.iter().zip(&requests).zip(answers) {
        let answer = answer?;
        out.usage += answer.usage;
        out.notes.extend(answer.notes.iter().cloned());
        let names: Vec<String> =
            question.clusters.iter().map(|&place| asked.clusters[place].cluster.clone()).collect();
        let parsed = parse_answers(&answer.text, &names);
        for (&place, parsed) in question.clusters.iter().zip(parsed) {
            let Some(parsed) = parsed else {
                missing.push((place, request.clone()));
                continue;
            };
            let one = &mut told[place];
            one.answers.push(Answer {
                model: request.model.clone(),
                label: parsed.label.clone(),
                text: answer.text.clone(),
            });
            one.parsed.push(parsed);
            for source in &answer.sources {
                if !one.sources.contains(source) {
                    one.sources.push(source.clone());
                }
            }
        }
    }
    Ok(missing)
}

/// The question that each cluster stood in first.
fn first_prompts(asked: &Questions) -> Vec<String> {
    let all: Vec<usize> = (0..asked.clusters.len()).collect();
    let mut prompts = vec![String::new(); all.len()];
    for question in asked.prompt.questions(&asked.clusters, &all, &asked.tissue, asked.n_markers) {
        let user = question.messages.iter().find(|message| message.role == Role::User);
        let text = user.map(|message| message.content.clone()).unwrap_or_default();
        question.clusters.iter().for_each(|&place| prompts[place].clone_from(&text));
    }
    prompts
}

fn annotation(
    cluster: &ClusterMarkers,
    told: Told,
    prompt: String,
    asked: &Questions,
) -> ClusterAnnotation {
    let labels: Vec<String> = told.parsed.iter().map(|one| one.label.clone()).collect();
    let markers = cluster.genes.iter().take(asked.n_markers).cloned().collect();
    let mut out = ClusterAnnotation {
        cluster: cluster.cluster.clone(),
        label: UNKNOWN.to_owned(),
        markers,
        sources: told.sources,
        prompt,
        answers: told.answers,
        ..ClusterAnnotation::default()
    };
    let Some((label, agreement, others)) = vote(&labels) else {
        out.evidence = "no answer could be read".to_owned();
        return out;
    };
    let form = normal_form(&label);
    let of_winner = told.parsed.iter().find(|one| normal_form(&one.label) == form);
    out.alternatives = others;
    if let Some(winner) = of_winner {
        out.evidence.clone_from(&winner.evidence);
        for other in &winner.alternatives {
            if !out.alternatives.contains(other) && normal_form(other) != form {
                out.alternatives.push(other.clone());
            }
        }
        // One answer has nobody to agree with, but may say how sure it is.
        out.confidence = if labels.len() > 1 { Some(agreement) } else { winner.confidence };
    }
    if !is_unknown(&form) {
        out.label = label;
    }
    out
}

/// Whether a label says that nobody knows.
fn is_unknown(form: &str) -> bool {
    matches!(
        form,
        "unknown"
            | "unknown cell type"
            | "unknown cell"
            | "unclear"
            | "undetermined"
            | "n a"
            | "none"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::llm::ChatAnswer;

    /// Answers from a list, and writes down what was asked.
    struct Scripted {
        answers: Mutex<Vec<&'static str>>,
        asked: Mutex<Vec<ChatRequest>>,
    }

    impl ChatModel for Scripted {
        fn destination(&self) -> Option<&str> {
            None
        }

        fn ask(&self, request: &ChatRequest) -> Result<ChatAnswer> {
            self.asked.lock().unwrap().push(request.clone());
            Ok(ChatAnswer {
                text: self.answers.lock().unwrap().remove(0).to_owned(),
                reasoning: None,
                model: request.model.clone(),
                usage: Usage { prompt_tokens: 10, completion_tokens: 2 },
                sources: Vec::new(),
                notes: Vec::new(),
            })
        }
    }

    fn questions(repeats: usize, models: &[&str]) -> Questions {
        let one = |cluster: &str, gene: &str| ClusterMarkers {
            cluster: cluster.to_owned(),
            genes: vec![gene.to_owned()],
        };
        Questions {
            clusters: vec![one("0", "CD3D"), one("1", "LYZ")],
            prompt: Prompt::HouJi,
            tissue: "PBMC".to_owned(),
            n_markers: 10,
            models: models.iter().map(|name| (*name).to_owned()).collect(),
            repeats,
            temperature: 0.0,
            seed: 7,
            web: false,
            max_tokens: None,
            concurrency: 1,
        }
    }

    fn run(asked: &Questions, answers: &[&'static str]) -> (Asked, Vec<ChatRequest>) {
        let model = Scripted { answers: Mutex::new(answers.to_vec()), asked: Mutex::default() };
        let out = ask(&model, asked, &ProgressBar::hidden()).unwrap();
        let requests = model.asked.lock().unwrap().clone();
        (out, requests)
    }

    #[test]
    fn repeats_vote_and_their_agreement_is_the_confidence() {
        let answers = ["T cells\nMonocytes", "T cell\nMacrophages", "T cells\nMonocytes"];
        let (out, requests) = run(&questions(3, &["m"]), &answers);
        assert_eq!(
            requests.iter().map(|one| one.seed).collect::<Vec<_>>(),
            [Some(7), Some(8), Some(9)]
        );
        assert_eq!(out.clusters[0].label, "T cells");
        assert_eq!(out.clusters[0].confidence, Some(1.0));
        assert_eq!(out.clusters[1].label, "Monocytes");
        assert!((out.clusters[1].confidence.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(out.clusters[1].alternatives, ["Macrophages"]);
        assert_eq!(out.usage.prompt_tokens, 30);
    }

    #[test]
    fn models_that_disagree_are_both_kept() {
        let (out, _) =
            run(&questions(1, &["a", "b"]), &["T cells\nMonocytes", "NK cells\nMonocytes"]);
        assert_eq!(out.clusters[0].confidence, Some(0.5));
        assert_eq!(out.clusters[0].alternatives, ["NK cells"]);
        assert_eq!(out.clusters[0].answers[1].model, "b");
    }

    #[test]
    fn clusters_without_an_answer_are_asked_about_alone_and_at_last_unknown() {
        let (out, requests) = run(&questions(1, &["m"]), &["T cells", "T cells", "", ""]);
        assert_eq!(requests.len(), 4, "both, each alone, the second once more");
        assert!(requests[2].messages[1].content.ends_with("\nLYZ"));
        assert_eq!(out.clusters[0].label, "T cells");
        assert_eq!(out.clusters[1].label, UNKNOWN);
        assert_eq!(out.notes, ["no answer could be read for 1"]);
    }

    #[test]
    fn unknown_is_an_answer() {
        let (out, _) = run(&questions(1, &["m"]), &["Unknown cell type\nMonocytes"]);
        assert_eq!(out.clusters[0].label, UNKNOWN);
        assert!(out.notes.is_empty());
    }
}
