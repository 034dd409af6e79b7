//! Phone numbers and e-mail addresses, normalised so that one person has one spelling.

use core::fmt;
use core::str::FromStr;

use crate::limits::IDENTIFIER_BYTES_MAX;

/// A phone number in E.164 or an e-mail address, normalised.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// `+` and 7 to 15 digits (ITU-T E.164).
    Phone(String),
    /// Local part as typed but lower-cased, domain lower-cased; no dot or plus folding.
    Email(String),
}

/// Text that is neither a phone number nor an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifierError {
    /// Not an international number.
    #[error("not a phone number: write it with `+` and the country code, as in +4915112345678")]
    Phone,
    /// Not one `local@domain`.
    #[error("not an e-mail address: write it as in anna@example.org")]
    Email,
    /// Over 254 bytes.
    #[error("the address is too long: at most {IDENTIFIER_BYTES_MAX} bytes")]
    TooLong,
}

impl Identifier {
    /// Parses and normalises a phone number; country rules belong to the SMS sender, so none are checked here (C-012).
    pub fn phone(text: &str) -> Result<Self, IdentifierError> {
        if text.len() > IDENTIFIER_BYTES_MAX {
            return Err(IdentifierError::TooLong);
        }
        if !text.trim_start().starts_with('+') {
            return Err(IdentifierError::Phone);
        }
        let e164 = e164(text)?;
        // C-012: some carrier prefixes are dropped once and then again; what is kept is its own normal form
        if self::e164(&e164)? != e164 {
            return Err(IdentifierError::Phone);
        }
        Ok(Self::Phone(e164))
    }

    /// Parses and normalises an e-mail address (C-012).
    pub fn email(text: &str) -> Result<Self, IdentifierError> {
        // C-012: what is checked is what is kept, since lower case may be longer and other letters
        let text = text.trim().to_lowercase();
        if text.len() > IDENTIFIER_BYTES_MAX {
            return Err(IdentifierError::TooLong);
        }
        let (local, domain) = text.rsplit_once('@').ok_or(IdentifierError::Email)?;
        let plain =
            |c: char| !c.is_control() && !c.is_whitespace() && !"@<>,;:\"\\()[]".contains(c);
        let good_local = !local.is_empty() && local.len() <= 64 && local.chars().all(plain);
        let good_domain = !domain.is_empty()
            && domain.split('.').all(|part| {
                !part.is_empty()
                    && !part.starts_with('-')
                    && !part.ends_with('-')
                    && part.chars().all(|c| c == '-' || c.is_alphanumeric())
            });
        if !(good_local && good_domain) {
            return Err(IdentifierError::Email);
        }
        Ok(Self::Email(text))
    }

    /// The normalised text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(text) | Self::Email(text) => text,
        }
    }

    /// Whether this is an e-mail address (its codes are longer).
    pub const fn is_email(&self) -> bool {
        matches!(self, Self::Email(_))
    }

    /// The identifier in `text`, which must already be normalised: what the server accepts on the wire (C-012).
    pub fn parse_normalised(text: &str) -> Result<Self, IdentifierError> {
        let parsed: Self = text.parse()?;
        if parsed.as_str() == text {
            return Ok(parsed);
        }
        Err(if parsed.is_email() {
            IdentifierError::Email
        } else {
            IdentifierError::Phone
        })
    }
}

/// The number in E.164, 7 to 15 digits.
fn e164(text: &str) -> Result<String, IdentifierError> {
    let number = phonenumber::parse(None, text.trim()).map_err(|_| IdentifierError::Phone)?;
    let e164 = number.format().mode(phonenumber::Mode::E164).to_string();
    let digits = e164.strip_prefix('+').ok_or(IdentifierError::Phone)?;
    if (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(e164)
    } else {
        Err(IdentifierError::Phone)
    }
}

impl FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, IdentifierError> {
        if text.contains('@') {
            Self::email(text)
        } else {
            Self::phone(text)
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Identifier {
    /// Prints the kind only: identifiers never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_email() {
            "Identifier::Email(…)"
        } else {
            "Identifier::Phone(…)"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spellings people use become one.
    #[test]
    fn c012_normalises() {
        for text in ["+49 1511 2345678", "+49-1511-2345678", " +4915112345678 "] {
            assert_eq!(Identifier::phone(text).unwrap().as_str(), "+4915112345678");
        }
        assert_eq!(
            Identifier::email("Anna.B+x@Example.ORG").unwrap().as_str(),
            "anna.b+x@example.org"
        );
        assert!(Identifier::parse_normalised("Anna@example.org").is_err());
        assert!(Identifier::parse_normalised("+49 1511 2345678").is_err());
    }

    /// Lower case can be longer and bring other letters: what comes out is checked, and is its own normal form.
    #[test]
    fn c012_normal_form_is_stable() {
        for text in ["a@İ.example", "İ@x.example", "ẞ@ẞ.example", "ΑΣ@x.example"] {
            if let Ok(identifier) = Identifier::email(text) {
                let again = Identifier::parse_normalised(identifier.as_str());
                assert_eq!(again, Ok(identifier), "{text}");
            }
        }
        assert!(Identifier::email("a@İ.example").is_err());
        assert!(Identifier::phone("+86 1 18001 18200").is_err());
        let grows = format!("a@{}.x", "Ⱥ".repeat(125));
        assert_eq!(grows.len(), 254);
        assert_eq!(Identifier::email(&grows), Err(IdentifierError::TooLong));
    }

    /// Numbers that a metadata table would call invalid are still numbers: test ranges, small countries.
    #[test]
    fn c012_accepts_numbers_no_table_knows() {
        for text in ["+15550100001", "+491700000001", "+12025550123"] {
            assert_eq!(Identifier::phone(text).unwrap().as_str(), text);
        }
    }

    /// What is neither is refused with the right hint.
    #[test]
    fn refuses_what_is_neither() {
        assert_eq!(Identifier::phone("01511"), Err(IdentifierError::Phone));
        for text in [
            "@x.org",
            "a@",
            "a b@x.org",
            "a@x..org",
            "a@-x.org",
            "<a@x.org>",
        ] {
            assert_eq!(
                text.parse::<Identifier>(),
                Err(IdentifierError::Email),
                "{text}"
            );
        }
        assert_eq!(
            format!("{:?}", Identifier::email("a@b.c").unwrap()),
            "Identifier::Email(…)"
        );
    }
}
