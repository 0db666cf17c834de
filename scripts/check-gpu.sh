#!/usr/bin/env bash
# Runs the golden checkpoints on burn's wgpu device over Mesa's software Vulkan (lavapipe): the
# same models, the reference kernels, no graphics card. Apart from check.sh, for burn with wgpu
# takes half an hour to build on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

driver() {
    find /usr/share/vulkan/icd.d /etc/vulkan/icd.d -name 'lvp_icd*.json' -print -quit 2>/dev/null || true
}

if [ -z "$(driver)" ]; then
    echo "check-gpu: installing mesa-vulkan-drivers"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1
fi
icd=$(driver)
[ -n "$icd" ] || { echo "check-gpu: there is no lavapipe driver, install mesa-vulkan-drivers" >&2; exit 1; }

# Only the software driver, even where there is a card: what is checked is the same everywhere.
export VK_DRIVER_FILES=$icd VK_ICD_FILENAMES=$icd CUBECL_WGPU_DEFAULT_DEVICE=Cpu
export FORII_TEST_DEVICE=wgpu
exec cargo test -p forii-core --features wgpu --test golden -- --nocapture --test-threads 1
