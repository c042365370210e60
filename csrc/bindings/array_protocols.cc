#include "bindings/array_protocols.h"

#include <string>

#include "bindings/arguments.h"

namespace byhand::bindings {
namespace {

// Returns the array, or a null object if there is no protocol.
py::object array_by_protocol(py::handle object, Access access) {
  const py::module_ numpy = py::module_::import("numpy");
  const auto has = [type = py::type::handle_of(object)](const char* method) {
    return py::hasattr(type, method);
  };
  if (PyObject_CheckBuffer(object.ptr())) {
    const auto view = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(object.ptr()));
    if (!view) throw py::error_already_set();
    return numpy.attr("asarray")(view);  // not of `object`: NumPy makes a string of bytes
  }
  if (py::hasattr(object, "__array_interface__")) return numpy.attr("asarray")(object);
  if (has("__dlpack__")) return numpy.attr("from_dlpack")(object);
  if (access == Access::kRead && has("__array__")) return numpy.attr("asarray")(object);
  return {};
}

}  // namespace

py::object array_of(py::handle object, const char* name, Access access) {
  try {
    return array_by_protocol(object, access);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    const std::string reason = text_of(error.value());
    py::raise_from(error, PyExc_TypeError,
                   (std::string(name) + " must be an array in the memory of the CPU, but this " +
                    type_name(object) + " cannot be read as one: " + reason)
                       .c_str());
    throw py::error_already_set();
  }
}

}  // namespace byhand::bindings
