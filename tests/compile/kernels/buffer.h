// Numbers with something on either side that must not be touched.
//
// A wrong read or write shows in one of three ways: AddressSanitizer watches heap blocks of the exact size, but not
// what intrinsics do under a mask; so other blocks lie at the edge of a page that nobody may touch; and a block is full
// of NaN at first, so that a value never written, or used before it was, is seen in the result.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <vector>

enum class Place { heap, ends_at_guard, begins_at_guard };

template <class T>
class BufferOf {
 public:
  BufferOf(size_t count, Place place) {
    const size_t page = sysconf(_SC_PAGESIZE), bytes = count * sizeof(T);
    if (place == Place::heap) {
      data = static_cast<T*>(std::malloc(bytes));
    } else {
      inner_ = (bytes + page - 1) / page * page;
      mapped_ = static_cast<char*>(mmap(nullptr, inner_ + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      if (mapped_ == MAP_FAILED) throw std::bad_alloc();
      if (inner_) mprotect(mapped_ + page, inner_, PROT_READ | PROT_WRITE);
      const size_t gap = place == Place::ends_at_guard ? inner_ - bytes : 0;
      data = reinterpret_cast<T*>(mapped_ + page + gap);
    }
    std::fill_n(data, count, std::numeric_limits<T>::quiet_NaN());  // 0 for bytes
  }
  BufferOf(const std::vector<T>& values, Place place) : BufferOf(values.size(), place) {
    std::copy(values.begin(), values.end(), data);
    if (mapped_ && inner_) mprotect(mapped_ + sysconf(_SC_PAGESIZE), inner_, PROT_READ);
  }
  ~BufferOf() {
    if (mapped_) {
      munmap(mapped_, inner_ + 2 * sysconf(_SC_PAGESIZE));
    } else {
      std::free(data);
    }
  }
  BufferOf(const BufferOf&) = delete;
  BufferOf& operator=(const BufferOf&) = delete;

  T* data;

 private:
  char* mapped_ = nullptr;
  size_t inner_ = 0;
};

using Buffer = BufferOf<float>;
