// Loops of contrastive training for AVX2 with FMA.

#include "contrast.hpp"

#ifdef VECSMITH_X86

#include <immintrin.h>

namespace vecsmith::kernels {

namespace {

using Floats = float __attribute__((vector_size(32)));
using Ints = std::int32_t __attribute__((vector_size(32)));
constexpr std::size_t kTileRows = 6;

inline Floats load(const float* x) { return Floats(_mm256_loadu_ps(x)); }

inline Floats multiply_add(Floats a, Floats b, Floats c) {
  return Floats(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
}

inline Floats root(Floats x) { return Floats(_mm256_sqrt_ps(__m256(x))); }

#include "contrast.inc"

}  // namespace

const ContrastKernels kAvx2Contrast = kContrast;

}  // namespace vecsmith::kernels

#endif
