//! Where tensors live and which path computes them.

#[cfg(feature = "cpu")]
use std::sync::Arc;

use burn::tensor::Device;

use crate::error::LoadError;

/// A device by name, before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The processor, through burn's Flex backend and forii's own kernels.
    #[default]
    Cpu,
    /// The CUDA device with this index.
    Cuda(usize),
    /// The default WebGPU adapter.
    Wgpu,
}

/// A device, and the threads that its kernels share. Owned by whoever computes and passed down.
#[derive(Debug, Clone)]
pub struct Compute {
    device: Device,
    #[cfg(feature = "cpu")]
    cpu: Option<Arc<super::cpu::Cpu>>,
}

impl Compute {
    /// Opens a device. `threads` counts the calling thread and matters on the CPU only. There the
    /// environment variable `FORII_CPU` (scalar, avx2, avx512, neon) may choose an instruction set
    /// below the best one.
    ///
    /// # Errors
    /// [`LoadError::Setting`] where this build has no such device, none answers, or the processor
    /// lacks the instruction set.
    pub fn new(kind: DeviceKind, threads: usize) -> Result<Self, LoadError> {
        match kind {
            #[cfg(feature = "cpu")]
            DeviceKind::Cpu => Ok(Self {
                device: Device::flex(),
                cpu: Some(Arc::new(super::cpu::Cpu::new(threads)?)),
            }),
            // Both device constructors are lazy and panic on first use where there is no device.
            #[cfg(feature = "cuda")]
            DeviceKind::Cuda(index) => match Device::enumerate(burn::tensor::DeviceType::Cuda).get(index) {
                Some(_) => Ok(Self::reference(Device::cuda(index))),
                None => Err(no_device(format!("no CUDA device {index} answers"))),
            },
            #[cfg(feature = "wgpu")]
            DeviceKind::Wgpu => match Device::enumerate(burn::tensor::DeviceType::Wgpu).first() {
                Some(_) => Ok(Self::reference(Device::wgpu(
                    burn::tensor::DeviceKind::DefaultDevice,
                ))),
                None => Err(no_device("no WebGPU adapter answers".to_string())),
            },
            #[allow(unreachable_patterns)]
            other => Err(no_device(format!(
                "this build has no {other:?} device; enable the feature of its name"
            ))),
        }
    }

    /// Computes everything through the plain reference kernels on a device.
    pub fn reference(device: Device) -> Self {
        Self {
            device,
            #[cfg(feature = "cpu")]
            cpu: None,
        }
    }

    /// The burn device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether forii's own CPU kernels run, not the reference.
    #[cfg(feature = "cpu")]
    pub(super) fn is_cpu(&self) -> bool {
        self.cpu.is_some()
    }

    /// What the CPU kernels run on.
    ///
    /// # Panics
    /// On the reference path.
    #[cfg(feature = "cpu")]
    pub(super) fn cpu(&self) -> &super::cpu::Cpu {
        self.cpu
            .as_deref()
            .expect("the kernels of the processor were chosen")
    }
}

fn no_device(problem: String) -> LoadError {
    LoadError::Setting {
        setting: "device",
        problem,
    }
}
