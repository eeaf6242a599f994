//! How a command line is read.

/// Options one after the other, `--name VALUE` or `--name=VALUE`.
pub struct Options<I> {
    rest: I,
    name: String,
    inline: Option<String>,
}

impl<I: Iterator<Item = String>> Options<I> {
    pub fn new(rest: I) -> Self {
        Self {
            rest,
            name: String::new(),
            inline: None,
        }
    }

    /// The name of the next one.
    pub fn next_name(&mut self) -> Option<String> {
        let argument = self.rest.next()?;
        (self.name, self.inline) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        Some(self.name.clone())
    }

    /// Its value, which may be empty.
    pub fn value(&mut self) -> Result<String, String> {
        let value = self.inline.take().or_else(|| self.rest.next());
        value.ok_or_else(|| format!("{} wants a value", self.name))
    }
}
