//! The screen: six panes, what the last command said, where the processor stands, the line of commands.

use super::app::App;
use super::panes::{EXITS, MEMORY, NAMES, REGISTERS};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

const PROMPT: &str = "(rvmx) ";
/// What stands in the line of commands while it is empty.
const KEYS: &str = "F1 help F2 zoom F5 c F8 rs F9 rc F10 n F11 s F12 quit, Tab: pane";

/// Draws it.
pub fn draw(frame: &mut Frame, app: &App) {
    let [main, message, place, line] =
        Layout::vertical([Constraint::Min(3), Constraint::Length(1), Constraint::Length(1), Constraint::Length(1)])
            .areas(frame.area());
    if app.zoom {
        pane(frame, app, app.focus, main);
    } else {
        // The left column has room for two 64-bit registers in a line.
        let [left, right] = Layout::horizontal([Constraint::Length(44), Constraint::Min(20)]).areas(main);
        let rows = |weights: [u16; 3]| Layout::vertical(weights.map(Constraint::Fill));
        let left: [Rect; 3] = rows([11, 6, 4]).areas(left);
        let right: [Rect; 3] = rows([8, 6, 7]).areas(right);
        for (n, area) in left.into_iter().chain(right).enumerate() {
            pane(frame, app, n, area);
        }
    }
    if let Some((lines, row)) = &app.wrapped() {
        frame.render_widget(Clear, main);
        let block = Block::bordered().title(" Answer: Esc closes it ").border_style(focused());
        let text: Vec<Line> = lines.iter().map(|line| colored(line)).collect();
        frame.render_widget(Paragraph::new(text).scroll((*row, 0)).block(block), main);
    }
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(app.message.as_str(), bold), message);
    frame.render_widget(Line::styled(app.place.as_str(), Style::new().add_modifier(Modifier::REVERSED)), place);
    let empty = app.line.is_empty();
    let hint = if empty { Span::styled(KEYS, Style::new().fg(Color::DarkGray)) } else { Span::raw(app.line.as_str()) };
    frame.render_widget(Line::from(vec![Span::raw(PROMPT), hint]), line);
    let column = PROMPT.len() + app.line.chars().count();
    let column = line.x.saturating_add(u16::try_from(column).unwrap_or(u16::MAX));
    frame.set_cursor_position(Position::new(column.min(line.right().saturating_sub(1)), line.y));
}

fn focused() -> Style {
    Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD)
}

/// A line in the colour of what it says.
fn colored(line: &str) -> Line<'_> {
    let style = match line {
        _ if line.trim_start().starts_with("FAIL") || line.starts_with("error") => Style::new().fg(Color::Red),
        _ if line.starts_with("=>") => Style::new().fg(Color::Green).add_modifier(Modifier::BOLD),
        _ => Style::new(),
    };
    Line::styled(line, style)
}

/// A line of registers: what has changed stands out.
fn changed<'a>(line: &'a str, before: Option<&String>) -> Line<'a> {
    let Some(before) = before.filter(|before| before.len() == line.len()) else { return Line::raw(line) };
    let old: Vec<&str> = before.split(' ').collect();
    let mut spans = Vec::new();
    for (n, word) in line.split(' ').enumerate() {
        let style = if old.get(n) == Some(&word) { Style::new() } else { focused() };
        if n != 0 {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(word, style));
    }
    Line::from(spans)
}

fn pane(frame: &mut Frame, app: &App, n: usize, area: Rect) {
    let (pane, (row, column)) = (&app.panes[n], app.offsets[n]);
    let title = if n == MEMORY { format!(" {} {} ", NAMES[n], app.memory) } else { format!(" {} ", NAMES[n]) };
    let block = Block::bordered().title(title);
    let block = if n == app.focus { block.border_style(focused()) } else { block };
    let text: Vec<Line> = match n {
        _ if app.zoom => pane.full.iter().map(|line| colored(line)).collect(),
        REGISTERS => pane.short.iter().enumerate().map(|(row, line)| changed(line, app.before.get(row))).collect(),
        _ => pane.short.iter().map(|line| colored(line)).collect(),
    };
    // Of VM exits the last ones are to be seen; of all else there is nothing to see behind the end.
    let room = block.inner(area).height;
    let all = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let most = if n == EXITS { all.saturating_sub(room) } else { all.saturating_sub(1) };
    frame.render_widget(Paragraph::new(text).scroll((row.min(most), column)).block(block), area);
}
