// Portable loops of contrastive training: plain C++ and the compiler's own short vectors. They are
// the specification that the other levels are tested against.

#include "contrast.hpp"

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(16)));
using Ints = std::int32_t __attribute__((vector_size(16)));
constexpr std::size_t kTileRows = 4;

inline Floats load(const float* x) {
  Floats loaded;
  __builtin_memcpy(&loaded, x, sizeof loaded);
  return loaded;
}

inline Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }

inline Floats root(Floats x) {
  return Floats{__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]),
                __builtin_sqrtf(x[3])};
}

#include "contrast.inc"

}  // namespace

const ContrastKernels kBaselineContrast = kContrast;

const ContrastKernels& contrast_kernels_of(CpuLevel level) {
#ifdef VECSMITH_X86
  if (level >= CpuLevel::kAvx512) return kAvx512Contrast;
  if (level >= CpuLevel::kAvx2) return kAvx2Contrast;
#endif
  (void)level;
  return kBaselineContrast;
}

}  // namespace vecsmith::kernels
