//! The host's window: winit for the window and its events, softbuffer for its pixels. Nothing is decided here.

use super::keys;
use super::paint::Canvas;
use super::surface::{Event, Surface};
use crate::error::InputError;
use softbuffer::Context;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};
use winit::application::ApplicationHandler;
use winit::dpi::{PhysicalPosition, PhysicalSize};
use winit::event::{DeviceEvent, DeviceId, ElementState, MouseButton, MouseScrollDelta, WindowEvent};
use winit::event_loop::{ActiveEventLoop, EventLoop};
use winit::keyboard::PhysicalKey;
use winit::platform::pump_events::EventLoopExtPumpEvents;
use winit::window::{CursorGrabMode, Window, WindowId};

/// How long the host may take to make a window.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pixels of a touch pad's scrolling that are one click of a wheel.
const CLICK: f64 = 40.0;

type Pixels = softbuffer::Surface<Rc<Window>, Rc<Window>>;

/// The window of this process.
pub struct Host {
    events: EventLoop<()>,
    app: App,
}

#[derive(Default)]
struct App {
    /// There is a window, and it can be drawn on.
    window: Option<(Rc<Window>, Pixels)>,
    waiting: Vec<Event>,
    error: Option<String>,
    title: String,
    clipboard: Option<arboard::Clipboard>,
    /// The pointer is put back into the middle whenever the mouse has moved.
    centers: bool,
}

impl Host {
    /// Opens a window.
    pub fn open(title: &str) -> Result<Self, InputError> {
        let problem = |text: String| InputError::new("--display window", text).remedy(remedy());
        let events = event_loop().map_err(problem)?;
        let mut this = Self { events, app: App { title: title.to_owned(), ..App::default() } };
        let started = Instant::now();
        while this.app.window.is_none() && this.app.error.is_none() && started.elapsed() < PATIENCE {
            this.pump(Duration::from_millis(20));
        }
        match (this.app.error.take(), &this.app.window) {
            (Some(error), _) => Err(problem(error)),
            (None, None) => Err(problem("the display gives no window".to_owned())),
            (None, Some(_)) => Ok(this),
        }
    }

    fn pump(&mut self, time: Duration) {
        self.events.pump_app_events(Some(time), &mut self.app);
    }
}

/// What to do about a display that cannot be used.
fn remedy() -> &'static str {
    if cfg!(all(unix, not(target_os = "macos"))) {
        "start it in a desktop session, or give --display terminal or --headless; X11 needs the libraries of the packages \
         libx11-6, libxcursor1, libxi6, libx11-xcb1 and libxkbcommon-x11-0, Wayland those of libwayland-client0 and \
         libxkbcommon0"
    } else {
        "give --display terminal or --headless"
    }
}

/// Connects to the display. Some of its libraries panic where others are missing; that is an error like any other.
fn event_loop() -> Result<EventLoop<()>, String> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let made = catch_unwind(AssertUnwindSafe(EventLoop::new));
    std::panic::set_hook(hook);
    match made {
        Ok(made) => made.map_err(|error| {
            let text = error.to_string();
            // winit's place in its own source is of no use to the user.
            let text = text.rsplit_once(".rs:").and_then(|(_, rest)| rest.split_once(": ")).map_or(&*text, |at| at.1);
            format!("there is no display that can be used: {}", text.trim_end_matches('.'))
        }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a library is missing");
            Err(format!("the display cannot be used: {}", text.trim_end_matches('.')))
        }
    }
}

impl App {
    fn make_window(&self, events: &ActiveEventLoop) -> Result<(Rc<Window>, Pixels), String> {
        let attributes = Window::default_attributes().with_title(&self.title).with_visible(false);
        let window = Rc::new(events.create_window(attributes).map_err(|error| error.to_string())?);
        let (width, height) = super::ui::first_size(unit(&window));
        let _ = window.request_inner_size(PhysicalSize::new(width as u32, height as u32));
        let context = Context::new(Rc::clone(&window)).map_err(|error| error.to_string())?;
        let pixels = Pixels::new(&context, Rc::clone(&window)).map_err(|error| error.to_string())?;
        window.set_visible(true);
        Ok((window, pixels))
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.window.is_none() {
            match self.make_window(events) {
                Ok(made) => self.window = Some(made),
                Err(error) => self.error = Some(format!("no window can be made: {error}")),
            }
        }
    }

    fn window_event(&mut self, _events: &ActiveEventLoop, _window: WindowId, event: WindowEvent) {
        let event = match event {
            WindowEvent::CloseRequested => Event::Close,
            WindowEvent::Resized(_) | WindowEvent::RedrawRequested | WindowEvent::ScaleFactorChanged { .. } => {
                Event::Redraw
            }
            WindowEvent::Focused(focused) => Event::Focus(focused),
            // Keys that were pressed when the window got the keyboard are not for the guest.
            WindowEvent::KeyboardInput { is_synthetic: true, .. } => return,
            WindowEvent::KeyboardInput { event, .. } => Event::Key {
                key: match event.physical_key {
                    PhysicalKey::Code(code) => keys::key(code),
                    PhysicalKey::Unidentified(_) => None,
                },
                text: event.text.map(|text| text.to_string()).unwrap_or_default(),
                pressed: event.state == ElementState::Pressed,
            },
            WindowEvent::CursorMoved { position, .. } => {
                Event::Pointer { x: position.x.max(0.0) as usize, y: position.y.max(0.0) as usize }
            }
            WindowEvent::MouseWheel { delta, .. } => Event::Wheel(match delta {
                MouseScrollDelta::LineDelta(_, up) => -f64::from(up),
                MouseScrollDelta::PixelDelta(position) => -position.y / CLICK,
            }),
            WindowEvent::MouseInput { state, button, .. } => {
                let bit = match button {
                    MouseButton::Left => 0,
                    MouseButton::Right => 1,
                    MouseButton::Middle => 2,
                    _ => return,
                };
                Event::Button { bit, pressed: state == ElementState::Pressed }
            }
            WindowEvent::DroppedFile(file) => Event::Dropped(file),
            _ => return,
        };
        self.waiting.push(event);
    }

    fn device_event(&mut self, _events: &ActiveEventLoop, _device: DeviceId, event: DeviceEvent) {
        if let DeviceEvent::MouseMotion { delta: (dx, dy) } = event {
            self.waiting.push(Event::Motion { dx, dy });
        }
    }
}

fn unit(window: &Window) -> usize {
    (window.scale_factor().round() as usize).max(1)
}

fn center(window: &Window) {
    let size = window.inner_size();
    let _ = window.set_cursor_position(PhysicalPosition::new(size.width / 2, size.height / 2));
}

impl Surface for Host {
    fn events(&mut self) -> Vec<Event> {
        self.pump(Duration::ZERO);
        if self.app.centers
            && self.app.waiting.iter().any(|event| matches!(event, Event::Motion { .. }))
            && let Some((window, _)) = &self.app.window
        {
            center(window);
        }
        std::mem::take(&mut self.app.waiting)
    }

    fn size(&self) -> (usize, usize) {
        let size = self.app.window.as_ref().map(|(window, _)| window.inner_size()).unwrap_or_default();
        (size.width as usize, size.height as usize)
    }

    fn unit(&self) -> usize {
        self.app.window.as_ref().map_or(1, |(window, _)| unit(window))
    }

    fn resize(&mut self, width: usize, height: usize) {
        if let Some((window, _)) = &self.app.window {
            let _ = window.request_inner_size(PhysicalSize::new(width as u32, height as u32));
        }
    }

    fn show(&mut self, canvas: &Canvas) {
        let Some((window, pixels)) = &mut self.app.window else { return };
        let side = |side: usize| u32::try_from(side).ok().and_then(NonZeroU32::new);
        let (Some(width), Some(height)) = (side(canvas.width), side(canvas.height)) else { return };
        let shown = pixels.resize(width, height).and_then(|()| pixels.buffer_mut()).and_then(|mut buffer| {
            let length = buffer.len().min(canvas.pixels.len());
            buffer[..length].copy_from_slice(&canvas.pixels[..length]);
            window.pre_present_notify();
            buffer.present()
        });
        if let Err(error) = shown {
            self.app.error.get_or_insert_with(|| format!("the window cannot be drawn: {error}"));
        }
    }

    fn capture(&mut self, captured: bool) {
        let Some((window, _)) = &self.app.window else { return };
        let _ = window.set_cursor_grab(CursorGrabMode::None);
        self.app.centers = false;
        if captured && window.set_cursor_grab(CursorGrabMode::Locked).is_err() {
            // X11 cannot lock it, and tells of every motion twice while it is confined to a window
            // (https://github.com/rust-windowing/winit/issues/3773).
            self.app.centers = cfg!(all(unix, not(target_os = "macos")));
            if self.app.centers {
                center(window);
            } else {
                // A host that lets the pointer go still tells of the mouse.
                let _ = window.set_cursor_grab(CursorGrabMode::Confined);
            }
        }
        window.set_cursor_visible(!captured);
    }

    fn set_title(&mut self, title: &str) {
        if self.app.title != title
            && let Some((window, _)) = &self.app.window
        {
            title.clone_into(&mut self.app.title);
            window.set_title(title);
        }
    }

    fn clipboard(&mut self) -> Option<String> {
        if self.app.clipboard.is_none() {
            self.app.clipboard = arboard::Clipboard::new().ok();
        }
        self.app.clipboard.as_mut().and_then(|clipboard| clipboard.get_text().ok())
    }

    fn error(&mut self) -> Option<String> {
        self.app.error.take()
    }
}
