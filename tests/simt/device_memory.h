// Device memory on the host: each allocation ends at a page that nobody may touch, and outside kernels and copies
// none of it may be touched at all (of very many allocations, the first ones).
#pragma once

#include <cstddef>

namespace braid::simt {

// Opens device memory to this thread until the scope dies; a fault is explained and ends the process.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
};

// All bytes are NaN in every float type. Null when the device, of DeviceBytes(), is full.
void* AllocateDevice(size_t bytes);
// Ends the process when bytes beside the allocation were written.
void FreeDevice(void* data);
// Zeroes; a whole large allocation without touching its pages.
void ZeroDevice(void* data, size_t bytes);
void* AllocatePinned(size_t bytes);
void FreePinned(void* data);

// Whether [data, data + bytes) lies within one allocation.
bool IsDevice(const void* data, size_t bytes);
bool IsPinned(const void* data, size_t bytes);
// Whether `data` points into device memory or right behind it.
bool IsDevicePointer(const void* data);

size_t DeviceBytes();
size_t DeviceBytesUsed();

}  // namespace braid::simt
