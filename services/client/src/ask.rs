//! [`ask`]: a question to the fleet, over NATS.

use std::time::Duration;

use revocast_bus::{Bus, BusError};
use revocast_messages::{Answer, DecodeError, Instance, Question, Refusal, decode, encode, subjects};

/// Why there are no verdicts.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No validator, or no broker, answers.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The question is too large, or the answer cannot be read.
    #[error(transparent)]
    Codec(#[from] DecodeError),
    /// The validator refuses the question.
    #[error("the validator refuses the question: {0}")]
    Refused(Refusal),
    /// The answer does not fit the question.
    #[error("{asked} certificates were asked about, and {answered} judged")]
    Incomplete {
        /// Certificates in the question.
        asked: usize,
        /// Verdicts in the answer.
        answered: usize,
    },
    /// A certificate was handed over that was not asked for, or without a valid verdict of its own.
    #[error("the answer is not one to what was asked")]
    Other,
}

/// Asks whichever validator is free, or `validator`; waits at most for `patience`.
pub async fn ask(
    bus: &Bus,
    question: &Question,
    validator: Option<&Instance>,
    patience: Duration,
) -> Result<Answer, AskError> {
    let subject = validator.map_or_else(|| subjects::VALIDATE.to_owned(), subjects::validate_at);
    let body = encode(question)?;
    let answer = bus.ask(&subject, &Vec::new(), body.into(), patience).await?;
    let answer: Answer = decode(&answer)?;
    if let Some(refusal) = answer.refused {
        return Err(AskError::Refused(refusal));
    }
    let (asked, answered) = (question.certificates.len(), answer.judgements.len());
    if asked != answered {
        return Err(AskError::Incomplete { asked, answered });
    }
    Ok(answer)
}
